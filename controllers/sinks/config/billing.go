package config

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/internal/configfile"
)

// BillingKind is the type of the file that says to which billing engines usage is sent.
const BillingKind = "BillingConfiguration"

// Types of receivers of usage only.
const (
	OpenMeter Type = "OpenMeter" // batches of CloudEvents
	Stripe    Type = "Stripe"    // an event of a meter in a request
	Lago      Type = "Lago"      // batches of events of subscriptions
)

var billingTypes = []Type{CloudEvents, OpenMeter, Stripe, Lago, File}

// Values is which value of a meter is sent to Stripe or Lago, for meters that add up.
type Values string

// Values.
const (
	// Delta is what was used in a window: the receiver adds up.
	Delta Values = "Delta"
	// Cumulative is what was used in the period: the latest value counts. It needs no deduplication.
	Cumulative Values = "Cumulative"
)

var allValues = []Values{Delta, Cumulative}

const (
	// billingPatience is for how long events are sent again to a receiver that takes none, less than the 35 days that Stripe accepts,
	// and billingRefusalPatience for how long one that it refuses.
	billingPatience        = 30 * 24 * time.Hour
	billingRefusalPatience = 72 * time.Hour
	// maxLagoEvents is how many events Lago takes in a request.
	maxLagoEvents = 100
)

type billingFile struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Receivers  []configfile.Fields `json:"receivers"`
}

// LoadBilling reads the file with the receivers of usage.
func LoadBilling(path string) (*Configuration, error) { return configfile.Load(path, ParseBilling) }

// ParseBilling reads the text of a file with receivers of usage, strictly, and reports all that is wrong.
func ParseBilling(data []byte) (*Configuration, error) {
	top, err := configfile.Parse(data)
	if err != nil {
		return nil, err
	}
	var f billingFile
	problems := configfile.Decode(&f, top, nil, hints)
	if len(problems) == 0 && (f.APIVersion != APIVersion || f.Kind != BillingKind) {
		return nil, fmt.Errorf("apiVersion and kind: %q and %q are not known; write apiVersion: %s and kind: %s",
			f.APIVersion, f.Kind, APIVersion, BillingKind)
	}
	receivers, more := parseAll(f.Receivers, "receivers", billingTypes)
	for _, r := range receivers {
		r.Patience, r.RefusalPatience = billingPatience, billingRefusalPatience
		if r.Groups != nil && !r.Groups.Empty() {
			path := field.NewPath("receivers").Key(r.Name).Child("groups")
			more = append(more, field.Forbidden(path, "spec.billing of a Group says what is billed; remove it"))
		}
		r.Groups = labels.Everything()
	}
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, errors.New(configfile.OneLine(problems.ToAggregate()))
	}
	return &Configuration{Sinks: receivers}, nil
}
