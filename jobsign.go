package varve

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// maxPause bounds for how long a job that is paused keeps its layer from being declared
// dead, whatever it says.
const maxPause = 366 * 24 * time.Hour

// jobSign is the last that was seen of a job.
type jobSign struct {
	objectio.Entry
	earlier []objectio.Entry // what it said before
	until   time.Time        // it may be gone on with, by the bucket's clock; zero: it did not say
}

func (c *census) addJob(o objectio.Entry, rest string) {
	id, _, _ := strings.Cut(rest, "/")
	if checkID(id) != nil {
		return
	}
	last := c.jobs[id]
	if last == nil || o.ModTime.After(last.ModTime) || o.ModTime.Equal(last.ModTime) && len(o.Key) >= len(last.Key) {
		next := &jobSign{Entry: o} // of one moment the last number counts, and keys ascend
		if last != nil {
			next.earlier = append(last.earlier, last.Entry)
		}
		c.jobs[id] = next
		return
	}
	last.earlier = append(last.earlier, o)
}

// pastJobs are the records of jobs that have ended long ago, the last of each apart: while
// that is there the job is known to have ended. One that may be gone on with stays.
func (c *census) pastJobs(ctx context.Context) (earlier, last []objectio.Entry, _ error) {
	for _, id := range sortedKeys(c.jobs) {
		sign := c.jobs[id]
		if c.now.Sub(sign.ModTime) <= recordAge {
			continue
		}
		ended, err := c.hasEnded(ctx, id, sign)
		if err != nil {
			return nil, nil, err
		}
		if ended {
			earlier, last = append(earlier, sign.earlier...), append(last, sign.Entry)
		}
	}
	return earlier, last, nil
}

// hasEnded reports whether a job has said so, or is known to: of what runs, and was
// committed or declared dead, only the last word is missing.
func (c *census) hasEnded(ctx context.Context, id string, sign *jobSign) (bool, error) {
	if _, _, err := parseJob(sign.Key); err != nil {
		return false, nil
	}
	r, _, err := c.b.shownJobRecord(ctx, id, sign.Key)
	if errors.Is(err, objectio.ErrNotExist) || isNoLayer(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	home := c.homes[r.Layer]
	over := c.layers[r.Layer] != nil || home != nil && home.state == siteVoid
	return r.State.Ended() || r.Kind == BackupJob && over, nil
}

// readJobs reads the last records of jobs whose layers are not committed. One that pauses
// says how long the store keeps its snapshot, and so how long it may be resumed. Only the
// difference of the two times counts, for they are of some client's clock.
func (c *census) readJobs(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	asked := map[*jobSign]bool{}
	for _, p := range c.sites {
		sign := c.jobs[p.job]
		if p.state != siteOpen || sign == nil || asked[sign] {
			continue
		}
		asked[sign] = true
		g.Go(func() error {
			body, err := c.b.Get(gctx, sign.Key, maxManifest)
			if errors.Is(err, objectio.ErrNotExist) || errors.Is(err, objectio.ErrSize) {
				return nil
			}
			if err != nil {
				return storageError("read", sign.Key, err)
			}
			var event struct {
				Body struct {
					At          time.Time `json:"at"`
					PinnedUntil time.Time `json:"pinned_until"`
				} `json:"body"`
			}
			if json.Unmarshal(body, &event) == nil && !event.Body.At.IsZero() {
				sign.until = sign.ModTime.Add(min(event.Body.PinnedUntil.Sub(event.Body.At), maxPause))
			}
			return nil
		})
	}
	return g.Wait()
}

// lastOfJob is when a job was last known to go on: its layer, which it may come back to,
// is not dead as long as that is not old.
func (c *census) lastOfJob(job string) time.Time {
	sign := c.jobs[job]
	if sign == nil {
		return time.Time{}
	}
	return later(sign.ModTime, sign.until)
}
