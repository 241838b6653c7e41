package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/queue"
)

func TestTasksInTheirOrder(t *testing.T) {
	t.Parallel()
	q := queue.New([]int{1, 2, 3})
	for want := 1; want <= 3; want++ {
		got, ok, err := q.Next(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
		q.Done()
	}
	_, ok, err := q.Next(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
}

// TestRetryGoesToTheTail: and is not handed out before its time.
func TestRetryGoesToTheTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, begun := queue.New([]string{"locked", "free"}), time.Now()
		take := func() string {
			task, ok, err := q.Next(t.Context())
			require.NoError(t, err)
			require.True(t, ok)
			return task
		}
		require.Equal(t, "locked", take())
		q.Retry("locked", 5*time.Second)
		require.Equal(t, "free", take())
		q.Done()
		require.Zero(t, time.Since(begun))
		require.Equal(t, "locked", take())
		require.Equal(t, 5*time.Second, time.Since(begun))
		q.Done()
		_, ok, err := q.Next(t.Context())
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// TestNextWaitsForWhatMayComeBack: the queue is not at its end while a task is out.
func TestNextWaitsForWhatMayComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, begun := queue.New([]int{7}), time.Now()
		_, _, err := q.Next(t.Context())
		require.NoError(t, err)
		go func() {
			time.Sleep(time.Minute)
			q.Retry(8, time.Minute)
		}()
		got, ok, err := q.Next(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, 8, got)
		require.Equal(t, 2*time.Minute, time.Since(begun))
		go func() {
			time.Sleep(time.Minute)
			q.Done()
		}()
		_, ok, err = q.Next(t.Context())
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, 3*time.Minute, time.Since(begun))
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	q := queue.New([]int{1})
	_, _, err := q.Next(t.Context())
	require.NoError(t, err)
	q.Retry(1, time.Hour)
	defer q.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = q.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
