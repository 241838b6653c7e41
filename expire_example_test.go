package varve_test

import (
	"context"
	"fmt"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

// A plan says why each restore point stays or goes. Here they were taken on five days, a
// full on each second one, of a store whose days are short: the collection's own clock is
// that of its bucket.
func ExampleCollection_PlanExpire() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	clock := func() time.Time { return now }
	store, err := memkv.New(&memkv.Options{SingleRevision: true, Now: clock})
	check(err)
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	c, err := varve.NewCollection(bucket, nil)
	check(err)
	for day := range 5 {
		store.Set([]byte("day"), fmt.Append(nil, day))
		opts := &varve.BackupOptions{Into: varve.Latest}
		if day%2 == 0 {
			opts.Into = ""
		}
		if day == 2 {
			opts.Labels = map[string]string{"release": "7"}
		}
		_, err := c.Backup(ctx, varve.Cluster(store), opts)
		check(err)
		now = now.Add(24 * time.Hour)
	}

	plan, err := c.PlanExpire(ctx, varve.Policy{KeepLast: 1, KeepLabels: map[string]string{"release": ""}})
	check(err)
	fmt.Print(plan)
	report, err := c.Expire(ctx, plan)
	check(err)
	fmt.Printf("retired %d, to be deleted in a day\n", len(report.Retired))
	// Output:
	// keep 2, drop 3, by the policy: last 1, label release
	// keep  2026/11/26-063159.37                                        full         newest, none is verified; last 1 of 1
	// drop  2026/11/24-063159.37/20261125/063159.37-20261124-063159.37  incremental  no rule keeps it
	// keep  2026/11/24-063159.37                                        full         label release=7
	// drop  2026/11/22-063159.37/20261123/063159.37-20261122-063159.37  incremental  no rule keeps it
	// drop  2026/11/22-063159.37                                        full         no rule keeps it
	// retired 3, to be deleted in a day
}
