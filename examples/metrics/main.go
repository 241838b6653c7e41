// Metrics shows backups to Prometheus: how a schedule and its jobs stand, which is asked for
// at each scrape, and what is stored, which events count. It needs no arguments and no
// network; a day of hourly backups passes at once, with two hours in which nobody may back up.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// standing collects how a schedule stands. It keeps nothing: what a scrape finds is so.
type standing struct {
	schedule *varve.Schedule
	gauges   []gauge
}

// gauge is one number of a status.
type gauge struct {
	desc *prometheus.Desc
	of   func(varve.ScheduleStatus) float64
}

func newStanding(s *varve.Schedule) *standing {
	of := func(name, help string, f func(varve.ScheduleStatus) float64) gauge {
		return gauge{prometheus.NewDesc("varve_"+name, help, nil, nil), f}
	}
	return &standing{s, []gauge{
		of("recovery_point_age_seconds", "What would be lost if the store were lost now.", func(st varve.ScheduleStatus) float64 { return st.RecoveryPointAge.Seconds() }),
		of("last_success_timestamp_seconds", "When the newest backup began.", func(st varve.ScheduleStatus) float64 { return seconds(st.LastSuccess) }),
		of("next_timestamp_seconds", "When the next backup is due.", func(st varve.ScheduleStatus) float64 { return seconds(st.Next) }),
		of("failures", "Backups that failed since the last success.", func(st varve.ScheduleStatus) float64 { return float64(st.Failures) }),
		of("job_fraction", "How far the last backup is, by bytes.", func(st varve.ScheduleStatus) float64 { return st.Job.Fraction }),
		of("job_requests", "Requests to storage of the last backup.", func(st varve.ScheduleStatus) float64 { return float64(st.Job.Stats.Requests) }),
		of("job_retries", "Requests that it repeated.", func(st varve.ScheduleStatus) float64 { return float64(st.Job.Stats.Retries) }),
		of("job_seconds", "How long it takes, or took.", func(st varve.ScheduleStatus) float64 { return st.Job.Stats.Duration.Seconds() }),
	}}
}

// Describe implements prometheus.Collector.
func (s *standing) Describe(out chan<- *prometheus.Desc) {
	for _, g := range s.gauges {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (s *standing) Collect(out chan<- prometheus.Metric) {
	st := s.schedule.Status()
	for _, g := range s.gauges {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.of(st))
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// counters count what happens.
type counters struct{ layers, files, bytes prometheus.Counter }

func newCounters(r prometheus.Registerer) *counters {
	of := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	return &counters{
		layers: of("layers_total", "Backups that are durable."),
		files:  of("files_total", "Tables that were stored."),
		bytes:  of("stored_bytes_total", "Bytes of them."),
	}
}

func (c *counters) events() *varve.Events {
	return &varve.Events{
		Layer: func(varve.LayerInfo) { c.layers.Inc() },
		File:  func(f varve.FileInfo) { c.files.Inc(); c.bytes.Add(float64(f.StoredBytes)) },
	}
}

func main() {
	log.SetFlags(0)
	dir := must(os.MkdirTemp("", "varve-metrics-"))
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	day := &day{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), stop: stop}
	path := filepath.Join(dir, "data")
	db := must(pebble.Open(path, &pebble.Options{Logger: quiet{}}))
	defer db.Close()
	store := must(pebblekv.New(db, path, &pebblekv.Options{Now: day.Now}))
	backups := must(varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), &varve.CollectionOptions{Now: day.Now}))
	defer backups.Close()

	registry := prometheus.NewRegistry()
	count := newCounters(registry)
	schedule := must(backups.NewSchedule(varve.Cluster(store), varve.ScheduleOptions{
		Cron:  "@hourly",
		Clock: day,
		Backup: varve.BackupOptions{Events: count.events(), Authorize: func(context.Context, varve.Privilege, export.Object) error {
			check(db.Set(fmt.Appendf(nil, "hour-%02d", day.now.Hour()), make([]byte, 1000), pebble.NoSync))
			if h := day.now.Hour(); h == 21 || h == 22 {
				return errors.New("nobody may read at this time")
			}
			return nil
		}},
	}))
	registry.MustRegister(newStanding(schedule))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	if err := schedule.Run(ctx); !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}

	fmt.Printf("At %s a scrape of %s/metrics finds:\n\n", day.now.Format("15:04"), "http://service")
	scraped := must(server.Client().Get(server.URL))
	defer scraped.Body.Close()
	for lines := bufio.NewScanner(scraped.Body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "# TYPE") {
			fmt.Println(lines.Text())
		}
	}
}

// day is a clock that goes on as fast as somebody waits for it, until 22:30.
type day struct {
	now  time.Time
	stop context.CancelFunc
}

func (d *day) Now() time.Time { return d.now }

func (d *day) Sleep(ctx context.Context, rest time.Duration) error {
	if d.now = d.now.Add(rest); d.now.Hour() == 22 && d.now.Minute() >= 30 {
		d.stop()
	}
	return ctx.Err()
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// quiet keeps Pebble's own log out of the output.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
