package plugin

import (
	"bytes"
	"cmp"
	"context"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

func (a *app) billing() *cobra.Command {
	cmd := &cobra.Command{
		Use: "billing", Short: "Write what was used, for an invoice", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.billingExport())
	return cmd
}

// currencyCode is the form of a code of ISO 4217.
var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

func (a *app) billingExport() *cobra.Command {
	period, options := "", billing.FocusOptions{}
	cmd := a.withGroup(&cobra.Command{
		Use:   "export GROUP --period PERIOD",
		Short: "Write what was used of a Group in a period, as CSV or in the columns of FOCUS",
		Long: `Write what was used of a Group in a period: a line for each meter. No request and no byte is in two of them.

Each line has an id that is the same in each export, so that a line which is imported again replaces itself. state is open while the period
lasts; closed when it is over, and a server that was disconnected may still report what it counted; and final when nothing is added any more.
-o focus writes the columns of the FinOps Open Cost and Usage Specification ` + billing.FocusVersion + `. Keyward knows no prices: costs are 0.`,
		Example: `  kubectl keyward -n acme billing export acme --period 2026-11
  kubectl keyward -n acme billing export acme --period 2026-11 -o focus --provider 'Acme Media' --currency EUR`,
		PreRunE: func(*cobra.Command, []string) error {
			if _, err := quotaledger.ParsePeriod(period); err != nil {
				return usagef("--period: write a month such as 2026-11, or the first day of a period that does not begin with one, such as 2026-11-15")
			}
			if !currencyCode.MatchString(options.Currency) {
				return usagef("--currency: write a code of ISO 4217, such as EUR")
			}
			return nil
		},
	}, func(ctx context.Context, s *session, group *v1alpha1.Group) error {
		recorded, err := a.recorded(ctx, s, group)
		if err != nil {
			return err
		}
		return a.exportBilling(group, recorded, period, options)
	})
	cmd.Flags().StringVar(&period, "period", "", "the period, such as 2026-11, or 2026-11-15 if it does not begin with a month; of the last 13")
	cmd.Flags().StringVar(&options.Provider, "provider", "Keyward", "with -o focus: who sells, and writes the invoice")
	cmd.Flags().StringVar(&options.Currency, "currency", billing.NoCurrency, "with -o focus: code of the currency by ISO 4217")
	return cmd
}

func (a *app) exportBilling(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage, period string, options billing.FocusOptions) error {
	usage := usagequery.Of(group, recorded)
	used, err := usage.PeriodNamed(period)
	if err != nil {
		return usagef("--period: %s", err)
	}
	if why := usage.Unknown(&used, group.CreationTimestamp.Time, a.now()); why != "" {
		return usagef("--period: %s: nothing can be billed of it", why)
	}
	tier := group.Spec.Tier
	if in := group.Status.Limits; in != nil {
		tier = cmp.Or(in.Tier, tier)
	}
	statement := billing.Of(billing.Subject{
		Group: group.Namespace + "/" + group.Name, Name: cmp.Or(group.Spec.DisplayName, group.Name), UID: string(group.UID), Tier: tier,
	}, &used, a.now())
	if statement.State == billing.Open {
		a.narrate("The period is not over until %s: export it again then.", statement.End.UTC().Format(minute))
	}
	var all bytes.Buffer
	if a.output == outputFocus {
		err = statement.WriteFocus(&all, options)
	} else {
		err = statement.WriteCSV(&all)
	}
	if err != nil {
		return err
	}
	return a.writePlain(all.Bytes())
}
