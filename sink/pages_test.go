package sink

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPages hold what was written since the last reset, as often as it is read.
func TestPages(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var p pages
	for _, writes := range [][]int{{}, {1}, {pageBytes}, {pageBytes - 1, 2, 3 * pageBytes}, {5, 2*pageBytes - 5}, {7}} {
		p.reset()
		var want bytes.Buffer
		for _, size := range writes {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			want.Write(data)
			n, err := p.Write(data)
			require.NoError(t, err)
			require.Equal(t, size, n)
		}
		for range 2 {
			var got bytes.Buffer
			n, err := p.WriteTo(&got)
			require.NoError(t, err)
			require.Equal(t, int64(want.Len()), n)
			require.Equal(t, int64(want.Len()), p.size)
			require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))
		}
	}
}

// TestPagesWrittenToAFullDisk: the error and what was written before are the writer's.
func TestPagesWrittenToAFullDisk(t *testing.T) {
	t.Parallel()
	var p pages
	_, err := p.Write(make([]byte, 2*pageBytes))
	require.NoError(t, err)
	full := errors.New("disk full")
	n, err := p.WriteTo(writerFunc(func(data []byte) (int, error) { return 10, full }))
	require.ErrorIs(t, err, full)
	require.Equal(t, int64(10), n)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }
