package faultblob_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/faultblob"
)

// accused takes what the judge says instead of failing.
type accused struct {
	testing.TB
	said []string
}

func (a *accused) Errorf(format string, args ...any) {
	a.said = append(a.said, fmt.Sprintf(format, args...))
}

// TestJudge writes objects in order; the last one is judged.
func TestJudge(t *testing.T) {
	const index = "index/00_full/2026/01"
	for _, test := range []struct {
		name string
		keys string
		rule faultblob.Rule
		want string
	}{
		{"a layer in order", "L/progress/0 L/data/1.sst L/files.sst index/x/L L/BACKUP_MANIFEST", 0, ""},
		{"a deep layer", "c/2026/01/progress/0 c/2026/01/files.sst c/" + index + " c/2026/01/BACKUP_MANIFEST", 0, ""},
		{"an increment after", "L/progress/0 L/files.sst index/x/L L/BACKUP_MANIFEST L/I/progress/0 L/I/data/1.sst L/I/files.sst", 0, ""},
		{"twice", "a a", faultblob.Overwrites, "put a: overwrites an object"},
		{"unclaimed", "L/files.sst index/x/L L/BACKUP_MANIFEST", faultblob.EarlyManifests, "without L/progress/0"},
		{"without files", "L/progress/0 index/x/L L/BACKUP_MANIFEST", faultblob.EarlyManifests, "without L/files.sst"},
		{"not in the index", "L/progress/0 L/files.sst index/x/OL L/BACKUP_MANIFEST", faultblob.EarlyManifests, "without an entry in index/"},
		{"a full", "L/progress/0 L/files.sst index/2-0-aa-0-aa/L L/BACKUP_MANIFEST", 0, ""},
		{"an incremental", "refs/aa/bb L/I/progress/0 L/I/files.sst index/3-2-bb-aa-aa/L/I L/I/BACKUP_MANIFEST", 0, ""},
		{"a deep incremental", "c/refs/aa/bb c/L/I/progress/0 c/L/I/files.sst c/index/3-2-bb-aa-aa/L/I c/L/I/BACKUP_MANIFEST", 0, ""},
		{"without a reference", "L/I/progress/0 L/I/files.sst index/3-2-bb-aa-aa/L/I L/I/BACKUP_MANIFEST refs/aa/bb", faultblob.EarlyManifests, "commits a layer without refs/aa/bb"},
		{"with a reference of another", "refs/aa/cc refs/cc/bb L/I/progress/0 L/I/files.sst index/3-2-bb-aa-aa/L/I L/I/BACKUP_MANIFEST", faultblob.EarlyManifests, "without refs/aa/bb"},
		{"with a reference elsewhere", "refs/aa/bb c/L/I/progress/0 c/L/I/files.sst c/index/3-2-bb-aa-aa/L/I c/L/I/BACKUP_MANIFEST", faultblob.EarlyManifests, "without c/refs/aa/bb"},
		{"data after", "L/progress/0 L/files.sst index/x/L L/BACKUP_MANIFEST L/data/1.sst", faultblob.LateData, "writes to a layer that is committed"},
		{"files after", "L/progress/0 index/x/L L/BACKUP_MANIFEST L/files.sst", faultblob.LateData | faultblob.EarlyManifests, "writes to a layer that is committed"},
		{"empty segment", "a//b", faultblob.OddKeys, "odd key"},
		{"trailing slash", "a/", faultblob.OddKeys, "odd key"},
		{"odd character", "a:b", faultblob.OddKeys, "odd key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, allow := range []faultblob.Rule{0, test.rule} {
				tb := &accused{TB: t}
				faults := faultblob.New(tb, &faultblob.Options{Allow: allow})
				for key := range strings.SplitSeq(test.keys, " ") {
					require.NoError(t, faults.Open().WriteAll(t.Context(), key, []byte("x"), nil))
				}
				if test.want == "" || allow != 0 {
					require.Empty(t, tb.said)
				} else {
					require.NotEmpty(t, tb.said)
					require.Contains(t, tb.said[len(tb.said)-1], test.want)
				}
			}
		})
	}
}

func TestJudgeDeletesAndCopies(t *testing.T) {
	tb := &accused{TB: t}
	faults := faultblob.New(tb, nil)
	faults.Replace("a", []byte("x"))
	faults.Replace("b", []byte("y"))
	b := faults.Open()
	require.NoError(t, b.Copy(t.Context(), "c", "a", nil))
	require.Empty(t, tb.said)
	require.NoError(t, b.Copy(t.Context(), "b", "a", nil))
	require.NoError(t, b.Delete(t.Context(), "a"))
	require.Equal(t, []string{
		"faultblob: 2 copy b: overwrites an object",
		"faultblob: 3 delete a: deletes an object of no collection",
	}, tb.said)
}

// TestJudgeIgnoresWhatDidNotHappen: a write that lost, or was refused, broke nothing.
func TestJudgeIgnoresWhatDidNotHappen(t *testing.T) {
	faults := faultblob.New(t, nil)
	faults.Replace("a", []byte("x"))
	require.Error(t, upload(t.Context(), faults.Open(), "a", "y"))
	faults.Inject(faultblob.From(1, faultblob.Fault{Kind: faultblob.Lost}))
	require.Error(t, faults.Open().WriteAll(t.Context(), "a", nil, nil))
	require.Error(t, faults.Open().Delete(t.Context(), "a"))
	require.Error(t, faults.Open().Delete(t.Context(), "missing"))
}

func TestJudgeMisusedFault(t *testing.T) {
	tb := &accused{TB: t}
	faults := faultblob.New(tb, nil)
	faults.Inject(faultblob.Nth(1, faultblob.Fault{Kind: faultblob.Truncated}))
	require.NoError(t, upload(t.Context(), faults.Open(), "a", "x"))
	require.Equal(t, []string{"faultblob: 1 put a truncated: the fault is for reads"}, tb.said)
}

func TestListsMayEndInASlash(t *testing.T) {
	b := faultblob.New(t, nil).Open()
	for _, prefix := range []string{"", "a/", "a"} {
		_, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 1, &blob.ListOptions{Prefix: prefix})
		require.NoError(t, err)
	}
}
