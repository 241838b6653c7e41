package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// A service that is none but an example has this instead of
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	s, err := open(ctx, "/var/lib/service", nil, nil)
//	…
//	err = s.run(ctx)
func main() {
	log.SetFlags(0)
	dir := must(os.MkdirTemp("", "varve-service-"))
	defer os.RemoveAll(dir)
	clock := &fast{start: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), begun: time.Now()}
	fmt.Println("backed up         kind            keys    stored  retired")

	until := clock.Now().Add(10 * 24 * time.Hour)
	var slow atomic.Bool
	pace := func(ctx context.Context, _ int64) error {
		if slow.Load() {
			<-ctx.Done() // storage is as slow as that
		}
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	s := must(open(ctx, dir, clock, pace))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	for day := 0; clock.Now().Before(until); day++ {
		use(s.listener.Addr().String(), day, 1)
		clock.wait(24 * time.Hour)
	}
	slow.Store(true)
	use(s.listener.Addr().String(), 99, 2000)
	for !s.schedule.Status().Running {
		clock.wait(time.Hour)
	}
	stop()
	check(<-ended)
	job := s.schedule.Status().Job
	fmt.Printf("\nThe service was stopped, and is started again. Job %s… is %s.\n\n", job.ID[:8], job.State)

	ctx, stop = context.WithCancel(context.Background())
	s = must(open(ctx, dir, clock, nil))
	go func() { ended <- s.run(ctx) }()
	for s.schedule.Status().Job.State != varve.JobSucceeded {
		clock.wait(time.Hour)
	}
	again := s.schedule.Status().Job
	stop()
	check(<-ended)
	fmt.Printf("\nThe same job, %s…, has %s. The night before it is restored aside:\n", again.ID[:8], again.State)
	aside(dir, again.Layer)
}

// use puts keys of a kilobyte.
func use(address string, day, n int) {
	for i := range n {
		url := fmt.Sprintf("http://%s/keys/day-%02d-%04d", address, day, i)
		request := must(http.NewRequest(http.MethodPut, url, strings.NewReader(strings.Repeat(fmt.Sprintf("%4d", i), 256))))
		check(must(http.DefaultClient.Do(request)).Body.Close())
	}
}

// aside restores what the layer extends, and counts its keys.
func aside(dir string, l *varve.Layer) {
	ctx := context.Background()
	c := must(varve.OpenCollection(ctx, "file://"+filepath.Join(dir, "backups"), nil))
	defer c.Close()
	path := filepath.Join(dir, "aside")
	r := must(c.Restore(ctx, varve.Cluster(pebblekv.Dir(path, nil)), &varve.RestoreOptions{From: l.ParentID, Prove: true}))
	db := must(pebble.Open(path, &pebble.Options{Logger: quiet{}}))
	defer db.Close()
	it := must(db.NewIter(nil))
	n := 0
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	check(it.Close())
	fmt.Printf("%d keys as of %s, proved by %s\n", n, r.AsOf.Time().Format("Mon Jan 02 15:04"), r.Proof)
}

// fast is a clock whose days take a second.
type fast struct{ start, begun time.Time }

const days = 24 * 60 * 60

func (c *fast) Now() time.Time { return c.start.Add(time.Since(c.begun) * days) }

func (c *fast) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d / days)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *fast) wait(d time.Duration) { time.Sleep(d / days) }

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
