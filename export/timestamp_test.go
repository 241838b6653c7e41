package export_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func TestTimestampString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		t    export.Timestamp
		want string
	}{
		{export.Timestamp{}, "0"},
		{export.Timestamp{Logical: 1}, "1970-01-01T00:00:00.000000000Z+1"},
		{export.Timestamp{WallNanos: 1}, "1970-01-01T00:00:00.000000001Z"},
		{export.Timestamp{WallNanos: -1}, "1969-12-31T23:59:59.999999999Z"},
		{export.At(time.Date(2026, 11, 22, 6, 31, 59, 370e6, time.UTC)), "2026-11-22T06:31:59.370000000Z"},
		{export.Timestamp{WallNanos: 1795329119370000000, Logical: 3}, "2026-11-22T06:31:59.370000000Z+3"},
		{export.Timestamp{WallNanos: math.MaxInt64, Logical: math.MaxUint32}, "2262-04-11T23:47:16.854775807Z+4294967295"},
		{export.Timestamp{WallNanos: math.MinInt64}, "1677-09-21T00:12:43.145224192Z"},
	} {
		require.Equal(t, c.want, c.t.String())
		parsed, err := export.ParseTimestamp(c.want)
		require.NoError(t, err)
		require.Equal(t, c.t, parsed)
	}
}

func TestParseTimestampRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "00", "+1", "0+1",
		"2026-11-22",
		"2026-11-22T06:31:59Z",
		"2026-11-22T06:31:59.37Z",
		"2026-11-22T06:31:59.370000000",
		"2026-11-22T06:31:59.3700000000Z",
		"2026-11-22T06:31:59,370000000Z",
		"2026-11-22T07:31:59.370000000+01:00",
		"2026-02-30T06:31:59.370000000Z",
		"2026-11-22T06:31:59.370000000Z+",
		"2026-11-22T06:31:59.370000000Z+0",
		"2026-11-22T06:31:59.370000000Z+03",
		"2026-11-22T06:31:59.370000000Z+-3",
		"2026-11-22T06:31:59.370000000Z+3+3",
		"2026-11-22T06:31:59.370000000Z+4294967296",
		"1970-01-01T00:00:00.000000000Z",
		"2262-04-11T23:47:16.854775808Z", // a nanosecond too late
		"0001-01-01T00:00:00.000000000Z",
		" 2026-11-22T06:31:59.370000000Z",
	} {
		_, err := export.ParseTimestamp(s)
		require.Error(t, err, "%q", s)
	}
}

func TestTimestampOrder(t *testing.T) {
	t.Parallel()
	ascending := []export.Timestamp{
		{WallNanos: -1}, {}, {Logical: 1}, {Logical: math.MaxUint32}, {WallNanos: 1}, {WallNanos: 1, Logical: 7}, {WallNanos: 2},
	}
	for i, a := range ascending {
		for j, b := range ascending {
			require.Equal(t, i < j, a.Compare(b) < 0, "%s %s", a, b)
			require.Equal(t, i == j, a.Compare(b) == 0, "%s %s", a, b)
		}
		require.Positive(t, a.Next().Compare(a))
		require.Equal(t, a == export.Timestamp{}, a.IsZero())
	}
	require.Equal(t, export.Timestamp{WallNanos: 3}, export.Timestamp{WallNanos: 2, Logical: math.MaxUint32}.Next())
	require.Equal(t, export.Timestamp{WallNanos: 2, Logical: 1}, export.Timestamp{WallNanos: 2}.Next())
}

func TestTimestampText(t *testing.T) {
	t.Parallel()
	type record struct{ At export.Timestamp }
	want := record{export.Timestamp{WallNanos: 12345, Logical: 6}}
	encoded, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, `{"At":"1970-01-01T00:00:00.000012345Z+6"}`, string(encoded))
	var got record
	require.NoError(t, json.Unmarshal(encoded, &got))
	require.Equal(t, want, got)
	require.Error(t, json.Unmarshal([]byte(`{"At":"yesterday"}`), &got))
	require.Equal(t, want, got, "an error changes nothing")
}

func TestTimestampTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 7, 31, 59, 123, time.FixedZone("", 3600))
	require.True(t, export.At(now).Time().Equal(now))
	require.Equal(t, time.UTC, export.At(now).Time().Location())
}

func FuzzTimestampString(f *testing.F) {
	f.Add(int64(0), uint32(0))
	f.Add(int64(math.MaxInt64), uint32(math.MaxUint32))
	f.Add(int64(math.MinInt64), uint32(1))
	f.Fuzz(func(t *testing.T, wall int64, logical uint32) {
		want := export.Timestamp{WallNanos: wall, Logical: logical}
		got, err := export.ParseTimestamp(want.String())
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzParseTimestamp(f *testing.F) {
	for _, s := range []string{"0", "", "+", "2026-11-22T06:31:59.370000000Z+3", "9999-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00.000000000Z+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := export.ParseTimestamp(s)
		if err == nil {
			require.Equal(t, s, parsed.String(), "there is one spelling")
		}
	})
}
