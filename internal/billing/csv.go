package billing

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// header has the columns of the plain form.
var header = []string{"id", "group", "group_uid", "tier", "period", "period_start", "period_end", "state", "meter", "unit", "quantity"}

// WriteCSV writes a line for each meter, also for those with nothing.
func (s *Statement) WriteCSV(w io.Writer) error {
	lines := [][]string{header}
	for _, row := range s.Rows {
		lines = append(lines, []string{
			row.ID, s.Group, s.UID, s.Tier, s.Period, instant(s.Begin), instant(s.End), string(s.State), row.Meter, row.Unit,
			strconv.FormatInt(row.Quantity, 10),
		})
	}
	return WriteLines(w, lines)
}

// FocusVersion is the version of the FinOps Open Cost and Usage Specification (FOCUS) whose columns are written.
const FocusVersion = "1.2"

// FocusOptions are what only the seller knows.
type FocusOptions struct {
	// Provider is who sells, provides and invoices.
	Provider string
	// Currency is the code of the currency by ISO 4217; NoCurrency if it is not known.
	Currency string
}

// NoCurrency is the code of ISO 4217 where there is no currency.
const NoCurrency = "XXX"

// column is a column of FOCUS.
type column struct {
	name  string
	value func(s *Statement, row *Row, options *FocusOptions) string
}

func constant(text string) func(*Statement, *Row, *FocusOptions) string {
	return func(*Statement, *Row, *FocusOptions) string { return text }
}

func start(s *Statement, _ *Row, _ *FocusOptions) string      { return instant(s.Begin) }
func end(s *Statement, _ *Row, _ *FocusOptions) string        { return instant(s.End) }
func quantity(_ *Statement, r *Row, _ *FocusOptions) string   { return strconv.FormatInt(r.Quantity, 10) }
func unit(_ *Statement, r *Row, _ *FocusOptions) string       { return r.Unit }
func provider(_ *Statement, _ *Row, o *FocusOptions) string   { return o.Provider }
func skuPrice(s *Statement, row *Row, _ *FocusOptions) string { return row.Meter + "/" + s.Tier }

// focus has all mandatory columns of FOCUS, those about what is metered, and two of our own. Costs are 0: prices are not known here.
var focus = []column{
	{"BilledCost", constant("0")},
	{"BillingAccountId", func(s *Statement, _ *Row, _ *FocusOptions) string { return s.Group }},
	{"BillingAccountName", func(s *Statement, _ *Row, _ *FocusOptions) string { return s.Name }},
	{"BillingCurrency", func(_ *Statement, _ *Row, o *FocusOptions) string { return o.Currency }},
	{"BillingPeriodEnd", end},
	{"BillingPeriodStart", start},
	{"ChargeCategory", constant("Usage")},
	{"ChargeClass", constant("")}, // null: it is no correction
	{"ChargeDescription", func(s *Statement, row *Row, _ *FocusOptions) string {
		return fmt.Sprintf("%s of %s in %s", strings.ReplaceAll(row.Meter, "_", " "), s.Group, s.Period)
	}},
	{"ChargeFrequency", constant("Usage-Based")},
	{"ChargePeriodEnd", end},
	{"ChargePeriodStart", start},
	{"ConsumedQuantity", quantity},
	{"ConsumedUnit", unit},
	{"ContractedCost", constant("0")},
	{"EffectiveCost", constant("0")},
	{"InvoiceIssuerName", provider},
	{"ListCost", constant("0")},
	{"PricingQuantity", quantity},
	{"PricingUnit", unit},
	{"ProviderName", provider},
	{"PublisherName", provider},
	{"ServiceCategory", constant("Web")},
	{"ServiceName", constant("API keys")},
	{"SkuId", func(_ *Statement, row *Row, _ *FocusOptions) string { return row.Meter }},
	{"SkuPriceId", skuPrice},
	{"x_ChargeId", func(_ *Statement, row *Row, _ *FocusOptions) string { return row.ID }},
	{"x_PeriodState", func(s *Statement, _ *Row, _ *FocusOptions) string { return string(s.State) }},
}

// WriteFocus writes a line for each meter that was used, in the form of FOCUS: a quantity that was consumed is more than 0 there.
func (s *Statement) WriteFocus(w io.Writer, options FocusOptions) error {
	names := make([]string, 0, len(focus))
	for _, c := range focus {
		names = append(names, c.name)
	}
	lines := [][]string{names}
	for i := range s.Rows {
		if s.Rows[i].Quantity == 0 {
			continue
		}
		line := make([]string, 0, len(focus))
		for _, c := range focus {
			line = append(line, c.value(s, &s.Rows[i], &options))
		}
		lines = append(lines, line)
	}
	return WriteLines(w, lines)
}

// oneLine replaces what would end a line, or a cell.
var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ")

// WriteLines writes CSV, each line of it on one line. Texts that a spreadsheet would run as a formula begin with an apostrophe.
func WriteLines(w io.Writer, lines [][]string) error {
	out := csv.NewWriter(w)
	for _, line := range lines {
		line = slices.Clone(line)
		for i, text := range line {
			line[i] = oneLine.Replace(text)
			if start := strings.TrimLeft(line[i], " "); start != "" && strings.IndexByte("=+-@", start[0]) >= 0 {
				line[i] = "'" + line[i]
			}
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("writing CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

func instant(at time.Time) string { return at.UTC().Format(time.RFC3339) }
