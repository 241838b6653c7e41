package integration

import (
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

// trouble is what happens to a connection while do runs.
type trouble func(t *testing.T, p *toxiproxy.Proxy, do func())

// troubles are the ones that a network has.
func troubles() map[string]trouble {
	return map[string]trouble{
		"nobody there for 5 s": outage,
		"resets for 1.2 s":     resets,
		"15 % broken":          lasting("reset_peer", "downstream", 0.15, toxiproxy.Attributes{"timeout": 0}),
		"replies cut":          lasting("limit_data", "downstream", 0.15, toxiproxy.Attributes{"bytes": 100}),
		"slow":                 lasting("bandwidth", "upstream", 1, toxiproxy.Attributes{"rate": 4000}),
		"far":                  lasting("latency", "downstream", 1, toxiproxy.Attributes{"latency": 100, "jitter": 50}),
	}
}

// lasting is a toxic that is there all the time, in a part of all connections.
func lasting(kind, stream string, part float32, attributes toxiproxy.Attributes) trouble {
	return func(t *testing.T, p *toxiproxy.Proxy, do func()) {
		_, err := p.AddToxic("", kind, stream, part, attributes)
		require.NoError(t, err)
		do()
	}
}

// slowly makes what is done take some seconds, so that something happens in its midst.
func slowly(t *testing.T, p *toxiproxy.Proxy) {
	_, err := p.AddToxic("slow", "bandwidth", "upstream", 1, toxiproxy.Attributes{"rate": 4000})
	require.NoError(t, err)
}

// outage closes the port after half a second, and opens it five seconds later.
func outage(t *testing.T, p *toxiproxy.Proxy, do func()) {
	slowly(t, p)
	errs := make(chan error, 2)
	time.AfterFunc(500*time.Millisecond, func() { errs <- p.Disable() })
	time.AfterFunc(5500*time.Millisecond, func() { errs <- p.Enable() })
	do()
	require.NoError(t, <-errs)
	require.NoError(t, <-errs, "and it is over")
}

// resets breaks each connection for a while.
func resets(t *testing.T, p *toxiproxy.Proxy, do func()) {
	slowly(t, p)
	errs := make(chan error, 2)
	time.AfterFunc(500*time.Millisecond, func() {
		_, err := p.AddToxic("reset", "reset_peer", "upstream", 1, toxiproxy.Attributes{"timeout": 0})
		errs <- err
	})
	time.AfterFunc(1700*time.Millisecond, func() { errs <- p.RemoveToxic("reset") })
	do()
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
}

// TestNetworks: backups of 16 MB succeed in each trouble, and are whole; so do verifying
// and restoring.
func TestNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	proxies := toxiproxy.NewClient(running.get(t, "toxiproxy", startProxy))
	for _, p := range clouds() {
		upstream := running.get(t, p.name, p.start)
		for name, happen := range troubles() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				if !p.alone {
					t.Parallel()
				}
				proxy, err := proxies.CreateProxy(folder(t), "127.0.0.1:0", upstream)
				require.NoError(t, err)
				defer proxy.Delete()
				c := at(p.at(t, proxy.Listen, folder(t))).collection(t)
				store := newStore(t, 16<<20)
				begun := time.Now()
				happen(t, proxy, func() { full(t, c, store, &varve.BackupOptions{TargetFileBytes: p.fileBytes}) })
				change(store, 1)
				incremental(t, c, store)
				requireWhole(t, c, store)
				t.Logf("%v", time.Since(begun).Round(time.Millisecond))
				requireNothingHalf(t, at(p.at(t, upstream, folder(t))), store)
			})
		}
	}
}

// requireNothingHalf looks around the trouble: there are two layers, both whole.
func requireNothingHalf(t *testing.T, b bucket, store *memkv.Store) {
	c := b.collection(t)
	layers := 0
	for l, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		report, err := c.Verify(t.Context(), l.ID, nil)
		require.NoError(t, err)
		require.Empty(t, report.Problems)
		layers++
	}
	require.Equal(t, 2, layers)
	requireWhole(t, c, store)
}
