// Service keeps its data in Pebble, serves it over HTTP, and looks after its own backups:
// an incremental each night, a full each week, and a policy that says which of them stay.
// When it is told to stop in the midst of a backup, that is paused, and gone on with, of
// the same moment, after the next start. It needs no arguments and no network but this
// host's; a day takes a second here, and somebody uses it for ten days.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// policy keeps what can be restored of the last days and weeks.
var policy = varve.Policy{KeepDaily: 5, KeepWeekly: 4}

// service is a database, its server and its backups.
type service struct {
	db       *pebble.DB
	backups  *varve.Collection
	schedule *varve.Schedule
	listener net.Listener
	last     varve.LayerInfo // that was backed up
}

// open opens a service in a folder. Pace is asked while it is backed up.
func open(ctx context.Context, dir string, clock varve.Clock, pace func(context.Context, int64) error) (_ *service, err error) {
	s := new(service)
	path := filepath.Join(dir, "data")
	if s.db, err = pebble.Open(path, &pebble.Options{Logger: quiet{}}); err != nil {
		return nil, err
	}
	store, err := pebblekv.New(s.db, path, &pebblekv.Options{Now: clock.Now})
	if err != nil {
		return nil, err
	}
	if s.backups, err = varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), &varve.CollectionOptions{Now: clock.Now}); err != nil {
		return nil, err
	}
	s.schedule, err = s.backups.NewSchedule(varve.Cluster(store), varve.ScheduleOptions{
		Cron:     "0 2 * * *",
		FullCron: "0 2 * * 0",
		Clock:    clock,
		Changed:  func(st varve.ScheduleStatus) { s.look(ctx, st) },
		Backup:   varve.BackupOptions{Concurrency: 1, Pace: pace, MaxPause: 30 * 24 * time.Hour},
	})
	if err != nil {
		return nil, err
	}
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	return s, err
}

// run serves until ctx is over. What was begun is ended then: requests first; then the
// backup, which is paused; then what both use.
func (s *service) run(ctx context.Context) error {
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(s.listener) })
	g.Go(func() error { return s.schedule.Run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		return server.Shutdown(context.WithoutCancel(ctx))
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) || errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.backups.Close(), s.db.Close())
}

// look is told what the schedule does. What a policy drops goes after each backup.
func (s *service) look(ctx context.Context, st varve.ScheduleStatus) {
	switch {
	case st.Err != nil:
		log.Print("backup failed: ", st.Err)
	case st.Job.State == varve.JobSucceeded && st.Last != s.last:
		s.last = st.Last
		retired, err := s.expire(ctx)
		if err != nil && ctx.Err() == nil {
			log.Print("backups cannot be expired: ", err)
		}
		kind := "incremental"
		if s.last.Full() {
			kind = "full"
		}
		fmt.Printf("%-16s  %-11s  %7d  %8d  %7d\n", st.LastSuccess.Format("Mon Jan 02 15:04"), kind,
			st.Job.Stats.Keys, st.Job.Stats.StoredBytes, retired)
	}
}

// expire carries the policy out, and is how many backups it drops.
func (s *service) expire(ctx context.Context) (int, error) {
	plan, err := s.backups.PlanExpire(ctx, policy)
	if err != nil {
		return 0, err
	}
	report, err := s.backups.Expire(ctx, plan)
	if report == nil {
		return 0, err
	}
	return len(report.Retired), err
}

// handler is the service as the world sees it.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys/{key}", s.get)
	mux.HandleFunc("PUT /keys/{key}", s.put)
	mux.HandleFunc("GET /backups", s.status)
	return mux
}

func (s *service) get(w http.ResponseWriter, r *http.Request) {
	value, closer, err := s.db.Get([]byte(r.PathValue("key")))
	if errors.Is(err, pebble.ErrNotFound) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer closer.Close()
	_, _ = w.Write(value) // the client has gone
}

func (s *service) put(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = s.db.Set([]byte(r.PathValue("key")), value, pebble.Sync)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// status is what an alarm looks at.
func (s *service) status(w http.ResponseWriter, _ *http.Request) {
	st := s.schedule.Status()
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client has gone
		"last": st.Last.Path, "age_seconds": int(st.RecoveryPointAge.Seconds()), "next": st.Next, "failures": st.Failures,
		"job": st.Job.State.String(), "fraction": st.Job.Fraction,
	})
}
