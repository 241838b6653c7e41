package clouds

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// azureKey, azureApp are where credentials may stand in a URL.
const (
	azureKey = "AZURE_ACCOUNT_KEY"
	azureApp = "AZURE_CLIENT_ID"
)

// azureClouds are where blobs are, and who says who somebody is.
var azureClouds = map[string]struct {
	domain string
	cloud  cloud.Configuration
}{
	"AzurePublicCloud":       {"blob.core.windows.net", cloud.AzurePublic},
	"AzureUSGovernmentCloud": {"blob.core.usgovcloudapi.net", cloud.AzureGovernment},
	"AzureChinaCloud":        {"blob.core.chinacloudapi.cn", cloud.AzureChina},
}

// azurePlace is what a URL says.
type azurePlace struct {
	container string
	service   azureblob.ServiceURLOptions
	key       string    // of the account
	app       [3]string // tenant, client and secret
	options   container.ClientOptions
}

func openAzure(_ context.Context, u *url.URL) (*blob.Bucket, error) {
	place, err := parseAzure(u)
	if err != nil {
		return nil, err
	}
	client, err := place.client()
	if err != nil {
		return nil, err
	}
	return azureblob.OpenBucket(context.Background(), client, nil)
}

func parseAzure(u *url.URL) (*azurePlace, error) {
	p, err := parseParams(u)
	if err != nil {
		return nil, err
	}
	a := &azurePlace{container: u.Host, service: *azureblob.NewDefaultServiceURLOptions()}
	a.options.ClientOptions = azureOptions()
	a.keys(p)
	a.place(p)
	return a, p.done()
}

// keys takes the credentials.
func (a *azurePlace) keys(p *params) {
	if !p.specified(azureKey, azureApp, "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID") {
		if a.service.SASToken != "" {
			// It goes where it was made for.
			for _, name := range p.has("AZURE_ACCOUNT_NAME", "storage_account", "AZURE_ENVIRONMENT", "domain", "protocol", "cdn", "localemu") {
				p.fail("parameter %s contradicts the variable AZURE_STORAGE_SAS_TOKEN, which is of one place", name)
			}
		}
		return
	}
	a.service.SASToken = ""
	if len(p.has("AZURE_ACCOUNT_NAME", "storage_account")) == 0 {
		p.fail("parameter AZURE_ACCOUNT_NAME is missing")
	}
	app := p.all(azureApp, "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID")
	if app && len(p.has(azureKey)) > 0 {
		p.fail("parameter %s contradicts %s", azureApp, azureKey)
	}
	a.key = p.secret(azureKey)
	a.app = [3]string{p.take("AZURE_TENANT_ID"), p.take(azureApp), p.secret("AZURE_CLIENT_SECRET")}
}

// place takes where the account is.
func (a *azurePlace) place(p *params) {
	if account := p.take("AZURE_ACCOUNT_NAME", "storage_account"); account != "" {
		a.service.AccountName = account
	}
	if name := p.take("AZURE_ENVIRONMENT"); name != "" {
		at, ok := azureClouds[name]
		if !ok {
			p.fail("parameter AZURE_ENVIRONMENT is none of AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud")
		}
		if len(p.has("domain")) > 0 {
			p.fail("parameter domain contradicts AZURE_ENVIRONMENT")
		}
		a.service.StorageDomain, a.options.Cloud = at.domain, at.cloud
	}
	if domain := p.take("domain"); domain != "" {
		a.service.StorageDomain = domain
	}
	if protocol := only(p, []string{"http", "https"}, "protocol"); protocol != "" {
		a.service.Protocol = protocol
	}
	if len(p.has("cdn")) > 0 {
		a.service.IsCDN = p.flag("cdn")
	}
	if len(p.has("localemu")) > 0 {
		a.service.IsLocalEmulator = p.flag("localemu")
	}
}

// client is that of the container, with the credentials of the URL or, if it has none,
// of the variables that gocloud knows.
func (a *azurePlace) client() (*container.Client, error) {
	key, sas, connection := a.key, a.service.SASToken, ""
	if key == "" && a.app[0] == "" {
		key = os.Getenv("AZURE_STORAGE_KEY")
		for _, name := range []string{"AZURE_STORAGEBLOB_CONNECTIONSTRING", "AZURE_STORAGE_CONNECTION_STRING"} {
			if text := os.Getenv(name); text != "" {
				connection = text
			}
		}
	}
	if key == "" && sas == "" && connection != "" {
		return container.NewClientFromConnectionString(connection, a.container, &a.options)
	}
	service, err := azureblob.NewServiceURL(&a.service)
	if err != nil {
		return nil, bad("parameter AZURE_ACCOUNT_NAME is missing")
	}
	at, err := url.JoinPath(string(service), a.container)
	if err != nil {
		return nil, bad("parameter AZURE_ACCOUNT_NAME or domain is not part of a host's name")
	}
	switch {
	case key != "":
		shared, err := container.NewSharedKeyCredential(a.service.AccountName, key)
		if err != nil {
			return nil, bad("parameter %s, or variable AZURE_STORAGE_KEY, is not in base64", azureKey)
		}
		return container.NewClientWithSharedKeyCredential(at, shared, &a.options)
	case sas != "":
		return container.NewClientWithNoCredential(at, &a.options)
	}
	identity, err := a.identity()
	if err != nil {
		return nil, err
	}
	return container.NewClient(at, identity, &a.options)
}

// identity is the application that the URL names, or whatever the environment is.
func (a *azurePlace) identity() (azcore.TokenCredential, error) {
	if a.app[0] == "" {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: a.options.ClientOptions})
	}
	identity, err := azidentity.NewClientSecretCredential(a.app[0], a.app[1], a.app[2],
		&azidentity.ClientSecretCredentialOptions{ClientOptions: a.options.ClientOptions})
	if err != nil {
		return nil, bad("parameter AZURE_TENANT_ID, AZURE_CLIENT_ID or AZURE_CLIENT_SECRET cannot be")
	}
	return identity, nil
}

// azureOptions are retries, and errors that say what they are.
func azureOptions() azcore.ClientOptions {
	return azcore.ClientOptions{
		Retry:           policy.RetryOptions{MaxRetries: attempts - 1, MaxRetryDelay: maxBackoff},
		Transport:       &http.Client{Transport: transport()},
		PerCallPolicies: []policy.Policy{refusals{}},
	}
}

// refusals makes of each refusal an error that has the status. Of the many codes that
// mean one, the driver knows a single one.
type refusals struct{}

// Do lets the request pass.
func (refusals) Do(request *policy.Request) (*http.Response, error) {
	response, err := request.Next()
	if err == nil && (response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized) {
		return nil, &refusal{runtime.NewResponseError(response)}
	}
	return response, err
}

// refusal is an error of storage that denies a right.
type refusal struct{ error }

// HTTPStatusCode is what varve looks at.
func (r *refusal) HTTPStatusCode() int {
	var cause *azcore.ResponseError
	if errors.As(r.error, &cause) {
		return cause.StatusCode
	}
	return 0
}

// Unwrap is what the service said.
func (r *refusal) Unwrap() error { return r.error }
