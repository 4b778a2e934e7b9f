package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units, as Grafana names them.
const (
	unitCount   = "short"
	unitRate    = "reqps"
	unitSeconds = "s"
	unitBytes   = "bytes"
	unitShare   = "percentunit"
	unitPerSec  = "ops"
	unitDates   = "dateTimeFromNow"
)

// Sizes in Grafana's grid, which has 24 columns.
const (
	statWidth, statHeight   = 4, 4
	graphWidth, graphHeight = 12, 8
)

// board is a dashboard in the format that every Grafana reads.
type board = dashboard.DashboardBuilder //nolint:staticcheck // releases before 12 do not read the newer format

// query is a PromQL expression, and what its series are called in the legend.
type query struct{ expr, legend string }

// limits are where a value becomes yellow and red; above is bad.
type limits struct{ warning, critical float64 }

var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}

func target(q query) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source).Expr(q.expr).LegendFormat(q.legend)
}

func (l *limits) build() cog.Builder[dashboard.ThresholdsConfig] {
	steps := []dashboard.Threshold{{Color: "green"}}
	if l != nil {
		steps = append(steps, dashboard.Threshold{Value: &l.warning, Color: "yellow"}, dashboard.Threshold{Value: &l.critical, Color: "red"})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// number shows the latest value.
func number(title, description, unit, expr string, l *limits) cog.Builder[dashboard.Panel] {
	return stat.NewPanelBuilder().Title(title).Description(description).Datasource(source).Unit(unit).
		Span(statWidth).Height(statHeight).Thresholds(l.build()).
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		WithTarget(target(query{expr: expr}).RefId("A"))
}

// graph shows values over time.
func graph(title, description, unit string, queries ...query) cog.Builder[dashboard.Panel] {
	panel := timeseries.NewPanelBuilder().Title(title).Description(description).Datasource(source).Unit(unit).
		Span(graphWidth).Height(graphHeight).Min(0).FillOpacity(10).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for i, q := range queries {
		panel = panel.WithTarget(target(q).RefId(string(rune('A' + i))))
	}
	return panel
}

// bars compares the latest values of several series.
func bars(title, description, unit string, q query, l *limits) cog.Builder[dashboard.Panel] {
	return bargauge.NewPanelBuilder().Title(title).Description(description).Datasource(source).Unit(unit).
		Span(graphWidth).Height(graphHeight).Min(0).Thresholds(l.build()).
		Orientation(common.VizOrientationHorizontal).DisplayMode(common.BarGaugeDisplayModeBasic).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		WithTarget(target(q).Instant().RefId("A"))
}

// page returns a dashboard with the variables that all have: the data source, and the namespace that Keyward runs in.
func page(title, description, from string) *board {
	d := dashboard.NewDashboardBuilder(title) //nolint:staticcheck // as above
	return d.Description(description).Tags([]string{"keyward"}).Readonly().
		Time(from, "now").Refresh("1m").Timezone("utc").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(choice("namespace", "Keyward in", "label_values(keyward_sync_servers, namespace)"))
}

// choice is a variable with the values of a label.
func choice(name, label, values string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source).
		Query(dashboard.StringOrMap{String: &values}).Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc)
}

func with(d *board, row string, panels ...cog.Builder[dashboard.Panel]) {
	d.WithRow(dashboard.NewRowBuilder(row))
	for _, panel := range panels {
		d.WithPanel(panel)
	}
}
