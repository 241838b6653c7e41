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
	until time.Time // it may be gone on with, by the bucket's clock; zero: it did not say
}

func (c *census) addJob(o objectio.Entry, rest string) {
	id, _, _ := strings.Cut(rest, "/")
	if checkID(id) != nil {
		return
	}
	last := c.jobs[id]
	if last == nil || o.ModTime.After(last.ModTime) || o.ModTime.Equal(last.ModTime) && len(o.Key) >= len(last.Key) {
		c.jobs[id] = &jobSign{Entry: o} // of one moment the last number counts, and keys ascend
	}
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
