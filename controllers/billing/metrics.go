package billing

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/scrape"
)

var (
	pendingDesc = prometheus.NewDesc("keyward_billing_pending_windows",
		"Windows of usage that not all receivers have.", nil, nil)
	ageDesc = prometheus.NewDesc("keyward_billing_lag_seconds",
		"Age of the oldest window of usage that a receiver does not have; 0 if it has all.", []string{"receiver"}, nil)
	fullDesc = prometheus.NewDesc("keyward_billing_full_groups",
		"Groups whose windows are not closed because too many wait; the next one has everything since.", nil, nil)
	measured = scrape.NewCurrent(collect, pendingDesc, ageDesc, fullDesc)
)

func init() { metrics.Registry.MustRegister(measured) }

func collect(b *Keeper, all chan<- prometheus.Metric) {
	emit, now := scrape.Gauges(all), b.Clock.Now()
	pending := 0
	ages := map[string]time.Duration{}
	for _, o := range b.snapshot() {
		pending += len(o.Spec.Windows)
		through := map[string]int64{}
		for _, r := range o.Spec.Receivers {
			through[r.Name] = r.Through
		}
		for _, name := range b.Receivers {
			for i := range o.Spec.Windows {
				last := o.Spec.Next - 1
				if i+1 < len(o.Spec.Windows) {
					last = o.Spec.Windows[i+1].First - 1
				}
				if last > through[name] {
					ages[name] = max(ages[name], now.Sub(o.Spec.Windows[i].End.Time))
					break
				}
			}
		}
	}
	emit(pendingDesc, float64(pending))
	for _, name := range b.Receivers {
		emit(ageDesc, ages[name].Seconds(), name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	full := 0
	for _, is := range b.full {
		if is {
			full++
		}
	}
	emit(fullDesc, float64(full))
}
