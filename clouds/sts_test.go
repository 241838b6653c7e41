package clouds

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var credential = regexp.MustCompile(`Credential=([A-Z0-9]+)/`)

// newSTS serves AssumeRole, with keys KEY1, KEY2, and hands the rest on. It notes who
// asked for which role.
func newSTS(t *testing.T, upstream string, asked *[]string) string {
	to, err := url.Parse(upstream)
	require.NoError(t, err)
	s3 := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/" {
			s3.ServeHTTP(w, r)
			return
		}
		who := credential.FindStringSubmatch(r.Header.Get("Authorization"))[1]
		*asked = append(*asked, who+" "+r.FormValue("RoleArn")+" "+r.FormValue("ExternalId"))
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
			<AccessKeyId>KEY%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
			<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, len(*asked))
	}))
	t.Cleanup(server.Close)
	return server.URL
}
