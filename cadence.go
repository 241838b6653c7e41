package varve

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cadence is when something is due, again and again.
type cadence interface {
	// Next is the first moment after t.
	Next(t time.Time) time.Time
}

// parseCadence reads what robfig/cron reads, in UTC.
func parseCadence(field, spec string) (cadence, error) {
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		return nil, &OptionError{Field: field, Reason: "has a time zone, and schedules are in UTC: in others there are hours that never come"}
	}
	c, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, &OptionError{Field: field, Reason: err.Error()}
	}
	if c.Next(someDay).IsZero() {
		return nil, &OptionError{Field: field, Reason: fmt.Sprintf("%q never comes", spec)}
	}
	return c, nil
}

// someDay is one that rhythms are looked at from.
var someDay = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// rhythms is how many intervals of a cadence are looked at for the shortest one: as many as an
// hour has minutes, and more than a year has weeks.
const rhythms = 60

// fullsFor is the cadence of fulls where none is given: a day where backups come as close as
// an hour, a week where they come as close as a day. CockroachDB chooses the same.
func fullsFor(c cadence) (cadence, error) {
	shortest, at := time.Duration(1<<63-1), c.Next(someDay)
	for range rhythms {
		next := c.Next(at)
		shortest, at = min(shortest, next.Sub(at)), next
	}
	switch {
	case shortest <= time.Hour:
		return cron.ParseStandard("@daily")
	case shortest <= 24*time.Hour:
		return cron.ParseStandard("@weekly")
	}
	return c, nil
}
