package varve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/dirblob"
)

// drivers are gocloud's imports that register the schemes users most often want. The
// host of such a URL is a bucket. These drivers ignore its path; here it means a path.
var drivers = map[string]string{
	"s3":     "gocloud.dev/blob/s3blob",
	"gs":     "gocloud.dev/blob/gcsblob",
	"azblob": "gocloud.dev/blob/azureblob",
}

// clouds is the import that registers these and more, with retries and credentials of
// its own.
const clouds = "github.com/varvekv/varve/clouds"

// preferred before a scheme is the name under which package clouds, or another, has
// registered what opens that scheme for varve, whether gocloud knows it or not. The
// host is a bucket, then, and the path one in it.
const preferred = "varve+"

// place is a parsed collection URL.
type place struct {
	url    *url.URL // of the bucket, with the scheme that is registered
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
	p := &place{url: u, name: name}
	if err := p.choose(blob.DefaultURLMux()); err != nil {
		return nil, bad("%s: %v", name, err)
	}
	return p, nil
}

// choose finds the driver of the place, and takes the path from its URL where that is
// the collection's.
func (p *place) choose(mux *blob.URLMux) (err error) {
	bucket := *p.url
	driver, ownPath := drivers[bucket.Scheme]
	switch {
	case mux.ValidBucketScheme(preferred + bucket.Scheme):
		bucket.Scheme = preferred + bucket.Scheme
		ownPath = true
	case mux.ValidBucketScheme(bucket.Scheme):
	case driver != "":
		return fmt.Errorf("scheme %q is not registered; import _ %q or _ %q", bucket.Scheme, driver, clouds)
	case strings.HasPrefix(bucket.Scheme, "azure"):
		return fmt.Errorf("scheme %q is not registered; import _ %q", bucket.Scheme, clouds)
	default:
		return fmt.Errorf("scheme %q is not registered; import the gocloud.dev/blob driver that does", bucket.Scheme)
	}
	if ownPath {
		p.prefix, err = cleanPrefix(bucket.Path)
		bucket.Path, bucket.RawPath = "", ""
	}
	p.url = &bucket
	return err
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
	var option *OptionError
	if errors.As(err, &option) {
		return nil, option // made for the caller to see, without values
	}
	if err != nil {
		return nil, fmt.Errorf("driver: %s", p.scrub(err.Error()))
	}
	return b, nil
}

// scrub cuts out of a driver's message what the name of the place leaves out, and
// what drivers quote whole or in parts.
func (p *place) scrub(text string) string {
	for _, scheme := range []string{preferred, ""} { // with and without what this package has put before it
		quoted := *p.url
		quoted.Scheme = scheme + strings.TrimPrefix(quoted.Scheme, preferred)
		text = strings.ReplaceAll(text, quoted.String(), p.name)
	}
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
