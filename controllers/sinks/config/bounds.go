package config

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/resource"
)

func number(p *parser, name string, written *int, standard, least, most int) int {
	if written == nil {
		return standard
	}
	if *written < least || *written > most {
		p.invalid(name, *written, fmt.Sprintf("write a whole number from %d to %d", least, most))
	}
	return *written
}

func (p *parser) bytes(name string, written *resource.Quantity, standard, least, most int64) int64 {
	if written == nil {
		return standard
	}
	n, whole := written.AsInt64()
	if !whole || n < least || n > most {
		p.invalid(name, written.String(), fmt.Sprintf("write a whole number of bytes from %s to %s, such as %s",
			quantity(least), quantity(most), quantity(standard)))
	}
	return n
}

func quantity(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

func (p *parser) duration(name string, written *model.Duration, standard, least, most time.Duration) time.Duration {
	if written == nil {
		return standard
	}
	d := time.Duration(*written)
	if d < least || d > most {
		p.invalid(name, written.String(), fmt.Sprintf("write a duration from %s to %s", model.Duration(least), model.Duration(most)))
	}
	return d
}
