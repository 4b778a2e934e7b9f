package plugin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// ofKeys is what usage --by takes in addition to usagequery.By: the plugin lists the ApiKeys.
const ofKeys = "key"

// overTime is what usage over time is about.
type overTime struct {
	days  int
	month string
	by    string
	// wanted reports whether it was asked for; else usage shows the month at a glance.
	wanted bool
	query  usagequery.Query
}

func (o *overTime) addFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.days, "days", usagequery.DefaultDays, fmt.Sprintf("show the last days, at most %d", usageseries.MaxDays))
	cmd.Flags().StringVar(&o.month, "month", "", "show this month, such as 2026-11, in place of days")
	cmd.Flags().StringVar(&o.by, "by", adminv1.ByDay, "what to show: "+strings.Join(append(slices.Clone(usagequery.By), ofKeys), ", "))
	if err := cmd.RegisterFlagCompletionFunc("by", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append(slices.Clone(usagequery.By), ofKeys), cobra.ShellCompDirectiveNoFileComp
	}); err != nil {
		panic(err) // a flag that does not exist
	}
}

// check reads the flags.
func (o *overTime) check(cmd *cobra.Command, output string, now time.Time) error {
	days, month := cmd.Flags().Changed("days"), cmd.Flags().Changed("month")
	o.wanted = days || month || cmd.Flags().Changed("by") || output == outputCSV
	by := o.by
	if by == ofKeys {
		by = adminv1.ByOrigin // its range is read in the same way
	}
	var err error
	switch {
	case !o.wanted:
		return nil
	case !slices.Contains(usagequery.By, by):
		return usagef("--by: write one of %s, %s", strings.Join(usagequery.By, ", "), ofKeys)
	case o.days < 1 || o.days > usageseries.MaxDays:
		return usagef("--days: write a number from 1 to %d; for longer ago, use --by month", usageseries.MaxDays)
	case days && month:
		return usagef("--days, --month: write one of them")
	case days && by == adminv1.ByMonth:
		return usagef("--days: --by month shows all months that are kept, or that of --month")
	case output == outputWide:
		return usagef("-o: wide shows the month at a glance; with --days, --month or --by write table, csv, json or yaml")
	case month && !isMonth(o.month):
		return usagef("--month: write a month such as 2026-11")
	case month:
		o.query, err = usagequery.Parse(by, o.month, o.month, now)
	case by == adminv1.ByMonth:
		o.query, err = usagequery.Parse(by, "", "", now)
	default:
		today := now.UTC()
		o.query, err = usagequery.Parse(by, today.AddDate(0, 0, 1-o.days).Format(time.DateOnly), today.Format(time.DateOnly), now)
	}
	if err != nil {
		_, what, _ := strings.Cut(err.Error(), ": ")
		return usagef("--month: %s", what)
	}
	return nil
}

// isMonth reports whether a text is a month.
func isMonth(text string) bool {
	_, err := quotaledger.ParseMonth(text)
	return err == nil
}

// recorded reads the GroupUsage of a Group, which has to be readable.
func (a *app) recorded(ctx context.Context, s *session, group *v1alpha1.Group) (*v1alpha1.GroupUsage, error) {
	usage := &v1alpha1.GroupUsage{}
	switch err := s.Get(ctx, client.ObjectKeyFromObject(group), usage); {
	case apierrors.IsNotFound(err):
		a.narrate("Nothing was used of Group %s/%s yet.", group.Namespace, group.Name)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("you may not read GroupUsage %s/%s: ask an admin for the verb get on groupusages.keyward.dev, which the role view has",
			group.Namespace, group.Name)
	case err != nil:
		return nil, err
	}
	usage.Status = *usagequery.Of(group, usage).Status
	return usage, nil
}

// usageOverTime writes what was used of a Group over time.
func (a *app) usageOverTime(ctx context.Context, s *session, group *v1alpha1.Group, o *overTime, limit int) error {
	identity := group.Namespace + "/" + group.Name
	if o.by == ofKeys {
		keys, err := a.keysOf(ctx, s, group)
		if err != nil {
			return err
		}
		view := keySeriesOf(identity, keys, o.query)
		if a.output == outputCSV {
			return a.csv(view.lines())
		}
		return a.print(view, func(p *page) { p.keySeries(&view, limit) })
	}
	recorded, err := a.recorded(ctx, s, group)
	if err != nil {
		return err
	}
	used := usagequery.Of(group, recorded)
	series := o.query.Series(used)
	if a.output == outputCSV {
		return a.csv(linesOf(&series))
	}
	month := a.usageOf(group, recorded, nil)
	return a.print(series, func(p *page) {
		p.blocks = showsBlocks(a.streams.Out)
		p.overTime(&series, limit)
		if series.By == adminv1.ByDay {
			if origins, err := usagequery.Parse(adminv1.ByOrigin, series.From, series.To, p.now); err == nil {
				byOrigin := origins.Series(used)
				p.line("")
				p.points(&byOrigin, shownCounts, "--by origin")
			}
		}
		period, err := used.PeriodNamed(month.Period)
		if today := p.now.UTC().Format(time.DateOnly); err == nil && strings.HasPrefix(today, series.To) {
			p.foreseen(&month, period.Begin, period.End)
		}
	})
}

// csv writes lines of comma-separated values.
func (a *app) csv(lines [][]string) error {
	var all bytes.Buffer
	if err := billing.WriteLines(&all, lines); err != nil {
		return err
	}
	return a.writePlain(all.Bytes())
}

// writePlain writes a result without colours, also where no output was named.
func (a *app) writePlain(all []byte) error {
	if _, err := a.streams.Out.Write(all); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// keySeries is what was used with each key of a Group.
type keySeries struct {
	Group string `json:"group"`
	By    string `json:"by"`
	From  string `json:"from"`
	To    string `json:"to"`
	// Keys are those with the most requests first.
	Keys  []keyPoint `json:"keys"`
	Total int64      `json:"total"`
}

type keyPoint struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	KeyID     string            `json:"keyId,omitempty"`
	State     v1alpha1.KeyState `json:"state"`
	Requests  int64             `json:"requests"`
	// Complete is false where a part of the range is longer ago than is kept of a key.
	Complete   bool         `json:"complete"`
	LastUsedAt *metav1.Time `json:"lastUsedAt,omitempty"`
}

func keySeriesOf(group string, keys []v1alpha1.ApiKey, query usagequery.Query) keySeries {
	v := keySeries{Group: group, By: ofKeys, Keys: []keyPoint{}}
	v.From, v.To = query.Range()
	for i := range keys {
		key := &keys[i]
		point := keyPoint{
			Namespace: key.Namespace, Name: key.Name, KeyID: key.Status.KeyID, State: key.Status.State, LastUsedAt: key.Status.LastUsedAt,
		}
		point.Requests, point.Complete = query.KeyRequests(key)
		v.Total += point.Requests
		v.Keys = append(v.Keys, point)
	}
	slices.SortFunc(v.Keys, func(a, b keyPoint) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return v
}
