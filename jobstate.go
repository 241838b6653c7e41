package varve

import (
	"fmt"
	"slices"
)

// JobState is how a job stands.
type JobState int

const (
	// JobPending: it is about to go on.
	JobPending JobState = iota + 1
	// JobRunning: it goes on, or its process has died and nobody has gone on with it.
	JobRunning
	// JobPaused: it keeps its snapshot, and waits for Resume or ResumeJob.
	JobPaused
	// JobCanceling: it stops, and removes what it wrote.
	JobCanceling
	// JobCanceled: it has ended, and there is no layer.
	JobCanceled
	// JobFailed: it has ended with an error. A backup has left no layer, a restore nothing.
	JobFailed
	// JobSucceeded: it has ended, and its work is durable.
	JobSucceeded
)

var stateNames = map[JobState]string{
	JobPending: "pending", JobRunning: "running", JobPaused: "paused", JobCanceling: "canceling",
	JobCanceled: "canceled", JobFailed: "failed", JobSucceeded: "succeeded",
}

// nextStates are what may follow. Who is canceling may find that the work was done.
var nextStates = map[JobState][]JobState{
	JobPending:   {JobRunning, JobPaused, JobCanceling, JobCanceled, JobFailed},
	JobRunning:   {JobPaused, JobCanceling, JobCanceled, JobFailed, JobSucceeded},
	JobPaused:    {JobPending, JobCanceling, JobFailed},
	JobCanceling: {JobCanceled, JobFailed, JobSucceeded},
}

// Ended reports whether nothing can follow.
func (s JobState) Ended() bool { return s == JobCanceled || s == JobFailed || s == JobSucceeded }

func (s JobState) canBecome(next JobState) bool { return slices.Contains(nextStates[s], next) }

// String is the name that records carry.
func (s JobState) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return fmt.Sprintf("JobState(%d)", int(s))
}

// MarshalText writes the form of String.
func (s JobState) MarshalText() ([]byte, error) {
	if _, ok := stateNames[s]; !ok {
		return nil, fmt.Errorf("job state %d is not known", int(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the form of String.
func (s *JobState) UnmarshalText(b []byte) error {
	for state, name := range stateNames {
		if name == string(b) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("job state %q is not known", b)
}

// JobStateError says that a job is in a state in which it cannot be done with what was asked.
type JobStateError struct {
	ID    string
	State JobState
}

func (e *JobStateError) Error() string { return fmt.Sprintf("job %s is %s", e.ID, e.State) }
