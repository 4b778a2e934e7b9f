package groupevent

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkVerify verifies a log of 1,000 events; kubectl keyward audit verify does the same with what it has read.
func BenchmarkVerify(b *testing.B) {
	lines, head, entry := make([][]byte, 0, 1000), Head{}, catalogue[1]
	for i := range cap(lines) {
		event, err := New(Group{"tenants", "acme", "uid"}, entry.Type, fmt.Sprint(i), time.Unix(int64(i), 0), Subject{entry.Kind, "tenants", "web", "uid"},
			entry.By, entry.Example)
		if err != nil {
			b.Fatal(err)
		}
		if event, err = Append(head, event); err != nil {
			b.Fatal(err)
		}
		line, err := event.Encode()
		if err != nil {
			b.Fatal(err)
		}
		lines, head = append(lines, line), event.Head()
	}
	b.ReportMetric(float64(len(lines[0])), "bytes/event")
	for b.Loop() {
		verifier := NewVerifier("uid", Head{}, head)
		for _, line := range lines {
			if _, divergence := verifier.Add(line); divergence != nil {
				b.Fatal(divergence)
			}
		}
		if divergence := verifier.Close(); divergence != nil {
			b.Fatal(divergence)
		}
	}
}
