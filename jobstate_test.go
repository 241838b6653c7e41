package varve

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestJobStates: what may follow what, and the names that records carry.
func TestJobStates(t *testing.T) {
	t.Parallel()
	all := []JobState{JobPending, JobRunning, JobPaused, JobCanceling, JobCanceled, JobFailed, JobSucceeded}
	follow := map[JobState]string{
		JobPending:   ".RPCXF.",
		JobRunning:   "..PCXFS",
		JobPaused:    "N..C.F.",
		JobCanceling: "....XFS",
		JobCanceled:  ".......", JobFailed: ".......", JobSucceeded: ".......",
	}
	for _, from := range all {
		for i, to := range all {
			require.Equal(t, follow[from][i] != '.', from.canBecome(to), "%s → %s", from, to)
		}
		require.Equal(t, follow[from] == ".......", from.Ended())
		text, err := from.MarshalText()
		require.NoError(t, err)
		var got JobState
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, from, got)
	}
	_, err := JobState(0).MarshalText()
	require.Error(t, err)
	require.Error(t, new(JobState).UnmarshalText([]byte("asleep")))
}
