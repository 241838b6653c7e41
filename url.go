package varve

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/dirblob"
)

// drivers are the imports that register the schemes users most often want.
var drivers = map[string]string{
	"s3":     "gocloud.dev/blob/s3blob",
	"gs":     "gocloud.dev/blob/gcsblob",
	"azblob": "gocloud.dev/blob/azureblob",
}

// place is a parsed collection URL.
type place struct {
	url    *url.URL // of the bucket
	prefix string   // of the collection in it
	name   string   // for people: without parameters and credentials
}

func parseURL(collectionURL string) (*place, error) {
	bad := func(format string, args ...any) error {
		return &OptionError{Field: "collectionURL", Reason: fmt.Sprintf(format, args...)}
	}
	u, err := url.Parse(collectionURL)
	if err != nil {
		return nil, bad("is not a URL") // the cause would repeat it, and what it holds
	}
	name := redact(u)
	switch u.Scheme {
	case "":
		return nil, bad("%q has no scheme; a directory is file:///path", name)
	case "mem":
		return nil, bad("each mem:// is another bucket; open one and give it to NewCollection")
	case "http", "https":
		return nil, bad("%s: a web server neither lists nor creates objects", name)
	case "file":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
			return nil, bad("%s: a directory is file:///path, with no host and no parameters, and %%23 for a #", name)
		}
		return &place{url: u, name: name}, nil
	}
	if !blob.DefaultURLMux().ValidBucketScheme(u.Scheme) {
		if driver, ok := drivers[u.Scheme]; ok {
			return nil, bad("%s: scheme %q is not registered; import _ %q", name, u.Scheme, driver)
		}
		return nil, bad("%s: scheme %q is not registered; import the gocloud.dev/blob driver that does", name, u.Scheme)
	}
	p := &place{url: u, name: name}
	if _, cloud := drivers[u.Scheme]; cloud {
		// gocloud ignores the path of these URLs; here it means a path.
		if p.prefix, err = cleanPrefix(u.Path); err != nil {
			return nil, bad("%s: %v", name, err)
		}
		bucket := *u
		bucket.Path, bucket.RawPath = "", ""
		p.url = &bucket
	}
	return p, nil
}

// redact is what of a URL may be shown: parameters and user info may be secrets.
func redact(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (p *place) open(ctx context.Context) (*blob.Bucket, error) {
	if p.url.Scheme == "file" {
		return dirblob.Open(filepath.FromSlash(p.url.Path), nil)
	}
	b, err := blob.DefaultURLMux().OpenBucketURL(ctx, p.url)
	if err != nil {
		return nil, fmt.Errorf("driver: %s", p.scrub(err.Error()))
	}
	return b, nil
}

// scrub cuts out of a driver's message what the name of the place leaves out, and
// what drivers quote whole or in parts.
func (p *place) scrub(text string) string {
	text = strings.ReplaceAll(text, p.url.String(), p.name)
	password, _ := p.url.User.Password()
	secrets := []string{p.url.User.Username(), password}
	for _, values := range p.url.Query() {
		secrets = append(secrets, values...)
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		if secret != "" {
			text = strings.NewReplacer(secret, "***", url.QueryEscape(secret), "***").Replace(text)
		}
	}
	return text
}
