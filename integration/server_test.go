package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/stretchr/testify/require"
)

// server is one that has been started and serves an empty bucket, "bkt".
type server struct {
	address string // host:port
	err     error  // why there is none
}

// servers are started once, when they are first needed, and stopped by TestMain.
type servers struct {
	dir string // of the programs

	mu      sync.Mutex
	started map[string]server
	stop    []func()
}

var running = &servers{started: map[string]server{}}

// TestMain stops the servers, also when somebody interrupts the tests.
func TestMain(m *testing.M) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		running.close()
		os.Exit(1)
	}()
	code := m.Run()
	running.close()
	os.Exit(code)
}

func (s *servers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stop := range s.stop {
		stop()
	}
}

// get is the address of a server, which start starts unless it runs.
func (s *servers) get(t *testing.T, name string, start func(*servers) (string, error)) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.started[name]
	if !ok {
		got.address, got.err = start(s)
		s.started[name] = got
	}
	if errors.Is(got.err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skipf("%v; integration/servers installs it", got.err)
	}
	require.NoError(t, got.err, "start %s", name)
	return got.address
}

// program is the path of an installed one.
func (s *servers) program(name string) (string, error) {
	if s.dir == "" {
		s.dir = os.Getenv("VARVE_SERVERS")
	}
	if s.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		s.dir = filepath.Join(cache, "varve-servers", "current")
	}
	path := filepath.Join(s.dir, name)
	_, err := os.Stat(path)
	return path, err
}

// launch runs a program until the tests end, and waits for it to listen.
func (s *servers) launch(address string, env []string, name string, args ...string) error {
	path, err := s.program(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.stop = append(s.stop, func() { cancel(); <-ended })
	return listening(address, ended)
}

// listening waits until somebody listens, for a minute at most.
func listening(address string, ended chan error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case err := <-ended:
			ended <- err // for who stops it
			return fmt.Errorf("it ended: %v", err)
		case <-tick.C:
		}
	}
	return fmt.Errorf("nobody listens at %s", address)
}

// freePort is an address that nobody listens at, for a moment.
func freePort() (host, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	host, port, err = net.SplitHostPort(l.Addr().String())
	return host, port, errors.Join(err, l.Close())
}

// tempDir is a folder until the tests end.
func (s *servers) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "varve-integration")
	if err == nil {
		s.stop = append([]func(){func() { os.RemoveAll(dir) }}, s.stop...)
	}
	return dir, err
}

const (
	s3User   = "test"
	s3Secret = "hush/hush+hush=="
)

// startS3 starts versitygw over a folder. Its buckets are folders in it.
func startS3(s *servers) (string, error) {
	host, port, err := freePort()
	if err != nil {
		return "", err
	}
	dir, err := s.tempDir()
	if err != nil {
		return "", err
	}
	for _, sub := range []string{"buckets/bkt", "attributes"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	address := net.JoinHostPort(host, port)
	env := []string{"ROOT_ACCESS_KEY=" + s3User, "ROOT_SECRET_KEY=" + s3Secret}
	return address, s.launch(address, env, "versitygw", "--port", address, "--quiet",
		"posix", "--sidecar", filepath.Join(dir, "attributes"), filepath.Join(dir, "buckets"))
}

// startAzure starts azurite, in memory.
func startAzure(s *servers) (string, error) {
	host, port, err := freePort()
	if err != nil {
		return "", err
	}
	address := net.JoinHostPort(host, port)
	err = s.launch(address, nil, "azurite/node_modules/.bin/azurite-blob", "--blobHost", host, "--blobPort", port,
		"--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	if err == nil {
		err = createContainer(address)
	}
	return address, err
}

// startGS starts fake-gcs-server in this process.
func startGS(s *servers) (string, error) {
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	if err != nil {
		return "", err
	}
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "bkt"})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called := r.Host
		r.Host = gsHost // else it does not know what a path means
		fake.HTTPHandler().ServeHTTP(relocated{w, called}, r)
	}))
	s.stop = append(s.stop, h.Close, fake.Stop)
	return h.Listener.Addr().String(), nil
}

const gsHost = "storage.googleapis.com"

// relocated sends who begins an upload on to where he came from.
type relocated struct {
	http.ResponseWriter
	host string
}

func (r relocated) WriteHeader(status int) {
	if at := r.Header().Get("Location"); at != "" {
		r.Header().Set("Location", strings.Replace(at, gsHost, r.host, 1))
	}
	r.ResponseWriter.WriteHeader(status)
}

// startProxy starts toxiproxy.
func startProxy(s *servers) (string, error) {
	host, port, err := freePort()
	if err != nil {
		return "", err
	}
	address := net.JoinHostPort(host, port)
	return address, s.launch(address, []string{"LOG_LEVEL=error"}, "toxiproxy-server", "-host", host, "-port", port)
}
