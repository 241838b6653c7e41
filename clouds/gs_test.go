package clouds

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGSKeys: tokens come from where the credentials say, once for many requests, also
// when the context that opened the bucket has ended.
func TestGSKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": "token %d", "token_type": "Bearer", "expires_in": 3600}`, asked)
	}))
	defer server.Close()
	key, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "a@b", "private_key_id": "1", "token_uri": server.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	require.NoError(t, err)
	creds, err := gsCredentials(t.Context(), key, "")
	require.NoError(t, err)
	for range 2 {
		token, err := creds.TokenSource.Token()
		require.NoError(t, err)
		require.Equal(t, "token 1", token.AccessToken)
	}
}
