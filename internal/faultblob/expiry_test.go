package faultblob_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
)

// attic is a collection with a full "aa", an incremental "bb" on it, a layer "cc" that
// lists files of "aa", and a run "dd" that was declared dead. All layers are retired, long ago.
func attic(tb testing.TB) *faultblob.Bucket {
	now := time.Now()
	b := faultblob.New(tb, &faultblob.Options{Now: func() time.Time { return now }})
	put := func(key, kind, body string) {
		b.Replace(key, fmt.Appendf(nil, `{"kind": %q, "body": {%s}}`, kind, body))
		b.Date(key, now.Add(-48*time.Hour))
	}
	put("c/varve.json", "varve.collection", "")
	for path, body := range map[string]string{
		"A": `"layer": "aa"`, "A/B": `"layer": "bb", "parent": "aa"`, "C": `"layer": "cc", "refers": ["aa"]`, "D": `"layer": "dd"`,
	} {
		id := strings.Split(body, `"`)[3]
		kind := "varve.layer"
		if path == "D" {
			kind = "varve.void"
		}
		put("c/"+path+"/BACKUP_MANIFEST", kind, body)
		put("c/"+path+"/progress/0", "varve.claim", fmt.Sprintf(`"layer": %q`, id))
		put("c/"+path+"/files.sst", "", "")
		put("c/"+path+"/data/"+id+"-0.sst", "", "")
		put("c/index/2-1-"+id+"-0-aa/"+path, "varve.index", "")
		put("c/verified/"+id+"/hash-1", "varve.verified", "")
		if path != "D" {
			put("c/retired/"+id, "varve.retired", "")
		}
	}
	put("c/C/objects.sst", "", "")
	put("c/C/keys/01", "varve.key", "")
	put("c/probe/01/a", "", "")
	put("c/refs/aa/bb", "varve.ref", `"layer": "aa", "holder": "bb"`)
	put("c/refs/aa/cc", "varve.ref", `"layer": "aa", "holder": "cc"`)
	put("c/refs/aa/dd", "varve.ref", `"layer": "aa", "holder": "dd"`)
	put("c/refs/aa/ff", "varve.ref", `"layer": "aa", "holder": "ff"`)
	put("c/refs/bb/ee", "varve.ref", `"layer": "bb", "holder": "ee", "use": "hold"`)
	put("c/verified/bb/hash-2", "varve.verified", "")
	put("c/G/keys/01", "varve.key", "")
	put("c/expired/01", "varve.expired", "")
	return b
}

// Which deletions are in order, one after the other.
const (
	sweepB = "refs/bb/ee index/2-1-bb-0-aa/A/B A/B/BACKUP_MANIFEST A/B/data/bb-0.sst A/B/files.sst A/B/progress/0 verified/bb/hash-1 verified/bb/hash-2 refs/aa/bb retired/bb"
	sweepC = "index/2-1-cc-0-aa/C C/BACKUP_MANIFEST C/keys/01 C/objects.sst C/files.sst C/data/cc-0.sst C/progress/0 verified/cc/hash-1 refs/aa/cc retired/cc"
	sweepA = "index/2-1-aa-0-aa/A A/BACKUP_MANIFEST A/files.sst A/data/aa-0.sst A/progress/0 verified/aa/hash-1 refs/aa/dd refs/aa/ff retired/aa"
	sweepD = "index/2-1-dd-0-aa/D D/data/dd-0.sst D/files.sst refs/aa/dd expired/01 probe/01/a"
)

// TestJudgeExpiry deletes objects in order; the last one is judged.
func TestJudgeExpiry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, keys, want string }{
		{"in order", sweepB + " " + sweepC + " " + sweepA, ""},
		{"a dead run", sweepD, ""},
		{"a child is there", "index/2-1-aa-0-aa/A", "of a layer"},
		{"files are used", sweepB + " index/2-1-aa-0-aa/A", "whose files are used by that at C"},
		{"extended", sweepC + " index/2-1-aa-0-aa/A", "extended by that at A/B"},
		{"held", "index/2-1-bb-0-aa/A/B", "that is held"},
		{"not retired", "retired/cc index/2-1-cc-0-aa/C", "that is not retired"},
		{"manifest first", "C/BACKUP_MANIFEST", "before the index entry"},
		{"data first", "C/data/cc-0.sst", "before the manifest"},
		{"list first", "C/files.sst", "before the manifest"},
		{"objects first", "C/objects.sst", "before the manifest"},
		{"key first", "C/keys/01", "before the manifest"},
		{"claim before objects", "index/2-1-cc-0-aa/C C/BACKUP_MANIFEST C/files.sst C/data/cc-0.sst C/keys/01 C/progress/0", "before what it claims"},
		{"claim before keys", "index/2-1-cc-0-aa/C C/BACKUP_MANIFEST C/files.sst C/data/cc-0.sst C/objects.sst C/progress/0", "before what it claims"},
		{"claim before data", "index/2-1-cc-0-aa/C C/BACKUP_MANIFEST C/files.sst C/progress/0", "before what it claims"},
		{"mark before the rest", "index/2-1-cc-0-aa/C C/BACKUP_MANIFEST retired/cc", "before"},
		{"mark first", "retired/cc", "by which a layer is retired that is there"},
		{"a reference that counts", "refs/aa/cc", "by which a layer needs another"},
		{"of a run", "refs/aa/ff", "by which a run needs a layer"},
		{"verification", "verified/cc/hash-1", "about a layer that is there"},
		{"one of two verifications", "verified/bb/hash-1 verified/bb/hash-2", "about a layer that is there"},
		{"an older verification", "verified/bb/hash-1", ""},
		{"key of nobody", "G/keys/01", ""},
		{"claim of the dead", "D/progress/0", "by which a dead run claims"},
		{"mark of the dead", "D/BACKUP_MANIFEST", "declares a run dead"},
		{"the collection", "varve.json", "nobody's to delete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tb := &accused{TB: t}
			faults := attic(tb)
			b := faults.Open()
			for key := range strings.SplitSeq(test.keys, " ") {
				require.NoError(t, b.Delete(t.Context(), "c/"+key), key)
			}
			if test.want == "" {
				require.Empty(t, tb.said)
				return
			}
			require.NotEmpty(t, tb.said)
			require.Contains(t, tb.said[len(tb.said)-1], test.want)
		})
	}
}

// TestJudgeYoung: what was retired just now stays, and who was seen just now is alive.
func TestJudgeYoung(t *testing.T) {
	t.Parallel()
	tb := &accused{TB: t}
	faults := attic(tb)
	b := faults.Open()
	faults.Date("c/retired/cc", time.Now().Add(-23*time.Hour))
	require.NoError(t, b.Delete(t.Context(), "c/index/2-1-cc-0-aa/C"))
	require.Contains(t, tb.said[0], "retired just now")
	require.NoError(t, b.WriteAll(t.Context(), "c/E/progress/0", []byte("{}"), nil))
	void := []byte(`{"kind": "varve.void", "body": {}}`)
	require.NoError(t, b.WriteAll(t.Context(), "c/E/BACKUP_MANIFEST", void, nil))
	require.Contains(t, tb.said[1], "has just written c/E/progress/0")
	require.NoError(t, b.WriteAll(t.Context(), "c/F/BACKUP_MANIFEST", void, nil))
	require.Contains(t, tb.said[2], "has claimed nothing")
}
