package varve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// The two cloud schemes whose drivers these tests stand in for. Others are left
// unregistered.
const (
	cloudScheme = "gs"
	ownScheme   = "varvetest"
	both        = "varveboth" // has one opener of gocloud's kind and one that is preferred
)

// opener is a driver that fails as its URL says.
type opener struct{}

func (opener) OpenBucketURL(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	switch u.Query().Get("fail") {
	case "whole":
		return nil, fmt.Errorf("open bucket %v: no such bucket", u)
	case "parts":
		password, _ := u.User.Password()
		return nil, fmt.Errorf("user %s with password %q and token %s may not", u.User.Username(), password, u.Query().Get("token"))
	case "option":
		return nil, &OptionError{Field: "collectionURL", Reason: "parameter fail cannot be"}
	case "escaped":
		return nil, fmt.Errorf("parameters %s", u.RawQuery)
	}
	return memblob.OpenBucket(nil), nil
}

// register may be called by every test; the mux of gocloud is the process's.
var register = sync.OnceFunc(func() {
	blob.DefaultURLMux().RegisterBucket(cloudScheme, opener{})
	blob.DefaultURLMux().RegisterBucket(ownScheme, opener{})
	blob.DefaultURLMux().RegisterBucket(both, opener{})
	blob.DefaultURLMux().RegisterBucket(preferred+both, opener{})
})

func TestParseURL(t *testing.T) {
	t.Parallel()
	register()
	for in, want := range map[string]place{
		"file:///srv/backups":           {name: "file:///srv/backups"},
		"file:///srv/my%20backups/":     {name: "file:///srv/my%20backups/"},
		"FILE:///srv":                   {name: "file:///srv"},
		"gs://bucket":                   {name: "gs://bucket"},
		"gs://bucket/":                  {name: "gs://bucket/"},
		"gs://bucket/a/b/?token=secret": {name: "gs://bucket/a/b/", prefix: "a/b"},
		"varvetest://user:secret@host/a/b?token=secret": {name: "varvetest://host/a/b"},
	} {
		p, err := parseURL(in)
		require.NoError(t, err, in)
		require.Equal(t, want.name, p.name, in)
		require.Equal(t, want.prefix, p.prefix, in)
	}
	p, err := parseURL("gs://user@bucket/a/b?token=t")
	require.NoError(t, err)
	require.Equal(t, "gs://user@bucket?token=t", p.url.String(), "the driver sees no path and all of the rest")
	p, err = parseURL("varvetest://host/a%2Fb?x=1")
	require.NoError(t, err)
	require.Equal(t, "varvetest://host/a%2Fb?x=1", p.url.String(), "what is not known is left as it is")
	p, err = parseURL("varveboth://user@host/a/b?x=1")
	require.NoError(t, err)
	require.Equal(t, "varve+varveboth://user@host?x=1", p.url.String(), "the preferred opener is found, and its path is a path")
	require.Equal(t, "varveboth://host/a/b", p.name)
	require.Equal(t, "a/b", p.prefix)
}

// TestOptionErrorsOfDrivers are for the caller to see.
func TestOptionErrorsOfDrivers(t *testing.T) {
	t.Parallel()
	register()
	_, err := OpenCollection(t.Context(), "varveboth://host/path?fail=option", nil)
	require.EqualError(t, err, "open collection varveboth://host/path: option collectionURL: parameter fail cannot be")
	var option *OptionError
	require.ErrorAs(t, err, &option)
}

// TestURLPrefixes are held to the same rules as CollectionOptions.Prefix.
func TestURLPrefixes(t *testing.T) {
	t.Parallel()
	register()
	for prefix, segment := range map[string]string{"../x": "..", "a/../b": "..", "a//b": "", "a b": "a b", ".": ".", "a/.varve": ".varve"} {
		_, err := parseURL("gs://bucket/" + strings.ReplaceAll(prefix, " ", "%20"))
		var option *OptionError
		require.ErrorAs(t, err, &option, prefix)
		require.Equal(t, "collectionURL", option.Field)
		require.Contains(t, option.Reason, fmt.Sprintf("segment %q is not made of", segment))

		_, err = NewCollection(memblob.OpenBucket(nil), &CollectionOptions{Prefix: prefix})
		require.ErrorAs(t, err, &option, prefix)
		require.Equal(t, "Prefix", option.Field)
		require.Contains(t, option.Reason, fmt.Sprintf("segment %q is not made of", segment))
	}
}

// TestDriverErrorsAreScrubbed of all that the name of the place leaves out.
func TestDriverErrorsAreScrubbed(t *testing.T) {
	t.Parallel()
	register()
	for fail, want := range map[string]string{
		"whole":   "driver: open bucket SCHEME://host/path: no such bucket",
		"parts":   `driver: user *** with password "***" and token *** may not`,
		"escaped": "driver: parameters token=***&fail=***",
	} {
		for _, scheme := range []string{cloudScheme, ownScheme, both} {
			_, err := OpenCollection(t.Context(), scheme+"://hush:hu%2Fsh%20hush@host/path?token=s%2Becret+key&fail="+fail, nil)
			require.EqualError(t, err, strings.ReplaceAll("open collection SCHEME://host/path: "+want, "SCHEME", scheme))
			for _, secret := range []string{"hush", "hu/sh", "hu%2Fsh", "ecret", "s+ecret", "key"} {
				require.NotContains(t, err.Error(), secret)
			}
			require.NoError(t, errors.Unwrap(errors.Unwrap(err)), "no chain leads to what was cut out")
		}
	}
}

func FuzzParseURL(f *testing.F) {
	register()
	for _, s := range []string{
		"file:///a", "gs://b/c", "s3://b?x=y", "mem://", "", "/a", "//u:hush@h/p?q=hush", "hush@h", "varvetest:hush", "%zz", "file:hush",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parseURL(in)
		if err != nil {
			var option *OptionError
			require.ErrorAs(t, err, &option)
			require.Equal(t, "collectionURL", option.Field)
			return
		}
		if p.prefix != "" {
			contained(t, p.prefix+"/x")
		}
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, redact(u), p.name)
	})
}
