// Package scrape has collectors of metrics that are read when Prometheus asks for them.
package scrape

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Current is a prometheus.Collector that reads the current T of this process, such as the one of the replica that leads. It exists
// once, and is registered once, while every manager has a T of its own, and a test may start several. Without a T it has no metrics.
type Current[T any] struct {
	descs   []*prometheus.Desc
	collect func(*T, chan<- prometheus.Metric)
	current atomic.Pointer[T]
}

// NewCurrent returns a collector of metrics with these descriptions, which collect reads from the current T.
func NewCurrent[T any](collect func(*T, chan<- prometheus.Metric), descs ...*prometheus.Desc) *Current[T] {
	return &Current[T]{descs: descs, collect: collect}
}

// Set makes a T the current one, until end is called, or another one is set.
func (c *Current[T]) Set(t *T) (end func()) {
	c.current.Store(t)
	return func() { c.current.CompareAndSwap(t, nil) }
}

// Hold makes a T the current one until the context ends.
func (c *Current[T]) Hold(ctx context.Context, t *T) error {
	defer c.Set(t)()
	<-ctx.Done()
	return nil
}

// Describe implements prometheus.Collector.
func (c *Current[T]) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *Current[T]) Collect(all chan<- prometheus.Metric) {
	if t := c.current.Load(); t != nil {
		c.collect(t, all)
	}
}

// Gauges returns a function that emits values into a channel of metrics.
func Gauges(all chan<- prometheus.Metric) func(desc *prometheus.Desc, value float64, labels ...string) {
	return func(desc *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
}
