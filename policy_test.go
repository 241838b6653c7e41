package varve

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var policyNow = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// pointsAt are restore points that ended, and were stored, so many hours ago.
func pointsAt(hours ...[2]int) []*point {
	var out []*point
	for i, h := range hours {
		ago := func(h int) time.Time { return policyNow.Add(-time.Duration(h) * time.Hour) }
		info := layerAt(i+1, none, 1)
		out = append(out, &point{layer: &stored{info: info, manifest: &Manifest{}}, times: [2]time.Time{ago(h[0]), ago(h[1])}})
	}
	return out
}

// both clocks agree.
func both(hours ...int) (out [][2]int) {
	for _, h := range hours {
		out = append(out, [2]int{h, h})
	}
	return out
}

// TestPolicy: which points rules keep, by their numbers.
func TestPolicy(t *testing.T) {
	t.Parallel()
	days := both(1, 5, 13, 25, 30, 49, 73, 24*8, 24*9, 24*40, 24*41)
	for _, test := range []struct {
		name   string
		policy Policy
		points [][2]int
		proved []int // numbers of points that were verified
		want   []int
	}{
		{"last", Policy{KeepLast: 3}, days, nil, []int{0, 1, 2}},
		{"more than there are", Policy{KeepLast: 30}, days[:2], nil, []int{0, 1}},
		{"within", Policy{KeepWithin: 49 * time.Hour}, days, nil, []int{0, 1, 2, 3, 4, 5}},
		{"daily", Policy{KeepDaily: 3}, days, nil, []int{0, 2, 5}},
		{"weekly", Policy{KeepWeekly: 3}, days, nil, []int{0, 2, 7}},
		{"monthly", Policy{KeepMonthly: 2}, days, nil, []int{0, 9}},
		{"what is newest stays", Policy{KeepWithin: time.Minute}, days, nil, []int{0}},
		{"unless forced", Policy{KeepWithin: time.Minute, Force: true}, days, nil, nil},
		{"the newest that is verified stays", Policy{KeepLast: 1}, days, []int{4, 6}, []int{0, 4}},
		{"only what is verified counts", Policy{KeepLast: 2, Verified: true}, days, []int{2, 5, 8}, []int{0, 1, 2, 5}},
		{"a guarantee", Policy{KeepLast: 1, Guarantee: 26 * time.Hour}, days, nil, []int{0, 1, 2, 3, 4}},
		{"a guarantee is forced away", Policy{KeepLast: 1, Guarantee: 26 * time.Hour, Force: true}, days, nil, []int{0}},

		// Three that say they are of the future, and hide nobody.
		{"future", Policy{KeepLast: 2}, append([][2]int{{-900, 30}, {-800, 29}, {-700, 28}}, both(1, 25)...), nil, []int{0, 1, 3, 4}},
		// One that was stored just now and says that it is of last year.
		{"backdated", Policy{KeepWithin: 30 * time.Hour}, [][2]int{{9000, 1}, {2, 2}}, nil, []int{0, 1}},
		// A bucket that was copied to another knows no age but that of the copy.
		{"copied", Policy{KeepDaily: 3}, [][2]int{{1, 1}, {25, 1}, {49, 1}, {73, 1}}, nil, []int{0, 1, 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			points := pointsAt(test.points...)
			for _, i := range test.proved {
				points[i].verified = true
			}
			require.NoError(t, test.policy.validate())
			test.policy.keep(points, policyNow)
			var got []int
			for i, pt := range points {
				if len(pt.reasons) > 0 {
					got = append(got, i)
				}
			}
			require.Equal(t, test.want, got)
		})
	}
}

// TestPolicyReasons: whose clock it was is said where the two do not agree.
func TestPolicyReasons(t *testing.T) {
	t.Parallel()
	points := pointsAt([2]int{-900, 30}, [2]int{1, 1})
	points[1].layer.manifest.Labels = map[string]string{"release": "7", "who": "me"}
	policy := Policy{KeepLast: 1, KeepDaily: 7, KeepLabels: map[string]string{"release": "", "who": "you"}}
	require.NoError(t, policy.validate())
	policy.keep(points, policyNow)
	require.Equal(t, []string{"newest, none is verified by its own clock", "last 1 of 1 by its own clock", "daily 2027-01-07"}, points[0].reasons)
	require.Equal(t, []string{"newest, none is verified by the bucket's clock", "last 1 of 1 by the bucket's clock", "daily 2026-11-30", "label release=7"}, points[1].reasons)
	require.Equal(t, "last 1, daily 7, label release, label who=you", policy.String())
}

func TestImpossiblePolicies(t *testing.T) {
	t.Parallel()
	for field, policy := range map[string]Policy{
		"Policy": {}, "KeepLast": {KeepLast: -1}, "KeepWithin": {KeepWithin: -1}, "KeepDaily": {KeepDaily: -1},
		"KeepWeekly": {KeepWeekly: -1}, "KeepMonthly": {KeepMonthly: -1}, "Guarantee": {KeepLast: 1, Guarantee: -1},
	} {
		err := policy.validate()
		var option *OptionError
		require.ErrorAs(t, err, &option)
		require.Equal(t, field, option.Field)
	}
	forced := Policy{Force: true, Guarantee: time.Hour}
	require.Error(t, forced.validate(), "that keeps nothing either")
}

// TestNamesOfParts: what belongs to a layer is known by its name, and nothing else is.
func TestNamesOfParts(t *testing.T) {
	t.Parallel()
	data := formatData("a/b", testID(1), 2, 3)
	for object, want := range map[string][2]string{
		"a/b/BACKUP_MANIFEST": {"a/b", "BACKUP_MANIFEST"}, "a/files.sst": {"a", "files.sst"},
		"a/progress/0": {"a", "progress/0"}, "a/b/progress/17": {"a/b", "progress/17"}, data: {"a/b", data[4:]},
		"a/b/objects.sst": {"a/b", "objects.sst"}, formatKey("a/b", testID(3)): {"a/b", "keys/" + testID(3)},
	} {
		path, part, err := parsePart(object)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{path, part})
	}
	for _, object := range []string{"", "BACKUP_MANIFEST", "a/progress/", "a/progress/x", "a/progress/00", "refs/files.sst", "a/data/x.sst", "a/notes.txt", "a/b/BACKUP_MANIFEST.old", "objects.sst", "a/keys/x", "keys/" + testID(3), "probe/objects.sst"} {
		_, _, err := parsePart(object)
		require.Error(t, err, object)
	}
	for _, level := range []VerifyLevel{VerifyExists, VerifyHash, VerifyRehearsal} {
		layer, got, err := parseVerified(formatVerified(testID(1), level, testID(2)))
		require.NoError(t, err)
		require.Equal(t, testID(1), layer)
		require.Equal(t, level, got)
	}
	for _, object := range []string{"verified/" + testID(1), "verified/" + testID(1) + "/default-" + testID(2), "verified/x/hash-" + testID(2), fmt.Sprintf("verified/%s/hash", testID(1))} {
		_, _, err := parseVerified(object)
		require.Error(t, err, object)
	}
}
