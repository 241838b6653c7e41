package clouds

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// gsScope is the right to read and write objects.
const gsScope = "https://www.googleapis.com/auth/devstorage.read_write"

func openGS(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	p, err := parseParams(u)
	if err != nil {
		return nil, err
	}
	key := gsKey(p)
	rest := p.rest("access_id", "anonymous", "grpc", "private_key_path", "universe_domain", "zonal")
	anonymous := gsAnonymous(p, rest)
	if anonymous && key != nil {
		p.fail("parameter CREDENTIALS contradicts anonymous or access_id")
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	opener := &gcsblob.URLOpener{Client: gcp.NewAnonymousHTTPClient(transport())}
	if !anonymous {
		if err := authorize(ctx, opener, key, rest.Get("universe_domain")); err != nil {
			return nil, err
		}
	}
	return opener.OpenBucketURL(ctx, &url.URL{Scheme: gcsblob.Scheme, Host: u.Host, RawQuery: rest.Encode()})
}

// gsAnonymous reports whether requests are to be signed by nobody.
func gsAnonymous(p *params, rest url.Values) bool {
	anonymous := rest.Get("access_id") == "-"
	if text := rest.Get("anonymous"); text != "" {
		value, err := strconv.ParseBool(text)
		if err != nil {
			p.fail("parameter anonymous is neither true nor false")
		}
		anonymous = anonymous || value
	}
	return anonymous
}

// gsKey is the JSON of the URL's credentials; nil: there are none.
func gsKey(p *params) []byte {
	if !p.specified("CREDENTIALS") {
		return nil
	}
	text := p.take("CREDENTIALS")
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding, base64.RawStdEncoding} {
		if key, err := encoding.DecodeString(text); err == nil && json.Valid(key) {
			return key
		}
	}
	p.fail("parameter CREDENTIALS is not JSON in base64; write each + as %%2B")
	return nil
}

// authorize lets the opener's clients sign what they ask for.
func authorize(ctx context.Context, opener *gcsblob.URLOpener, key []byte, universe string) error {
	creds, err := gsCredentials(ctx, key, universe)
	if err != nil {
		return err
	}
	// Without a cache every request would ask for a token.
	opener.TokenSource = oauth2.ReuseTokenSource(nil, creds.TokenSource)
	opener.Client, err = gcp.NewHTTPClient(transport(), opener.TokenSource)
	return err
}

// gsCredentials are those of the key, or, without one, of the environment.
func gsCredentials(ctx context.Context, key []byte, universe string) (*google.Credentials, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: transport()})
	params := google.CredentialsParams{Scopes: []string{gsScope}, UniverseDomain: universe}
	if key == nil {
		if os.Getenv("STORAGE_EMULATOR_HOST") != "" || os.Getenv("STORAGE_EMULATOR_HOST_GRPC") != "" {
			return &google.Credentials{TokenSource: oauth2.StaticTokenSource(&oauth2.Token{})}, nil // nobody asks for it
		}
		return google.FindDefaultCredentialsWithParams(ctx, params)
	}
	var head struct{ Type google.CredentialsType }
	if json.Unmarshal(key, &head) != nil || head.Type != google.ServiceAccount && head.Type != google.AuthorizedUser {
		// Other kinds name programs to run and places to send tokens to.
		return nil, bad("parameter CREDENTIALS is neither a service_account nor an authorized_user")
	}
	creds, err := google.CredentialsFromJSONWithTypeAndParams(ctx, key, head.Type, params)
	if err != nil {
		return nil, bad("parameter CREDENTIALS is not a complete %s", head.Type) // the cause would quote it
	}
	return creds, nil
}
