package dirblob_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/dirblob"
)

// TestMain runs the test binary as the process that a test starts, or the tests.
func TestMain(m *testing.M) {
	role := map[string]func(*blob.Bucket) error{"racer": race, "victim": writeForEver}[os.Getenv("DIRBLOB_ROLE")]
	if role == nil {
		os.Exit(m.Run())
	}
	b, err := dirblob.Open(os.Getenv("DIRBLOB_DIR"), nil)
	if err == nil {
		err = role(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, role, dir string) process {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DIRBLOB_ROLE="+role, "DIRBLOB_DIR="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return process{cmd, in, bufio.NewReader(out)}
}

// race creates each key that it is told, and says whether it won and with what.
func race(b *blob.Bucket) error {
	for keys := bufio.NewScanner(os.Stdin); keys.Scan(); {
		body := sealed(1 << 14)
		err := b.Upload(context.Background(), keys.Text(), strings.NewReader(body), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
		switch gcerrors.Code(err) {
		case gcerrors.OK:
			fmt.Println("won", body[:sha256.Size*2])
		case gcerrors.FailedPrecondition:
			fmt.Println("lost")
		default:
			return err
		}
	}
	return nil
}

func TestProcessesRaceToCreate(t *testing.T) {
	t.Parallel()
	const processes, rounds = 4, 200
	dir := filepath.Join(t.TempDir(), "bucket")
	racers := make([]process, processes)
	for i := range racers {
		racers[i] = start(t, "racer", dir)
	}
	b := openBucket(t, dir, nil)
	for round := range rounds {
		key := fmt.Sprintf("round/%03d/key", round)
		for _, r := range racers {
			_, err := fmt.Fprintln(r.in, key)
			require.NoError(t, err)
		}
		winners := []string{}
		for _, r := range racers {
			line, err := r.out.ReadString('\n')
			require.NoError(t, err)
			if hash, won := strings.CutPrefix(line, "won "); won {
				winners = append(winners, strings.TrimSpace(hash))
			}
		}
		require.Len(t, winners, 1, key)
		body, err := b.ReadAll(t.Context(), key)
		require.NoError(t, err)
		requireSealed(t, string(body))
		require.Equal(t, winners[0], string(body[:sha256.Size*2]))
	}
	for _, r := range racers {
		require.NoError(t, r.in.Close())
		require.NoError(t, r.Wait())
	}
	require.Len(t, files(t, dir), rounds, "no temporary file is left")
}

// writeForEver creates and overwrites objects until it is killed, and says so
// for every piece that it writes.
func writeForEver(b *blob.Bucket) error {
	for i := 0; ; i++ {
		opts := &blob.WriterOptions{ContentType: "text/plain", IfNotExist: i%2 == 0}
		key := fmt.Sprintf("folder%d/%d-%d", i%3, os.Getpid(), i)
		if !opts.IfNotExist {
			key = "overwritten"
		}
		w, err := b.NewWriter(context.Background(), key, opts)
		if err != nil {
			return err
		}
		for body := strings.NewReader(sealed(1 << 20)); body.Len() > 0; {
			if _, err := io.CopyN(w, body, 1<<16); err != nil && err != io.EOF {
				return err
			}
			fmt.Println("wrote")
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

func TestKilledWriterLeavesNoPart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bucket")
	b := openBucket(t, dir, nil)
	for range 15 {
		p := start(t, "victim", dir)
		for range 1 + rand.IntN(100) {
			_, err := p.out.ReadString('\n')
			require.NoError(t, err)
		}
		require.NoError(t, p.Process.Kill())
		require.Error(t, p.Wait())
		for _, key := range list(t, b, blob.ListOptions{}, 0) {
			body, err := b.ReadAll(t.Context(), key)
			require.NoError(t, err)
			requireSealed(t, string(body))
		}
	}
	var objects, garbage int
	for _, name := range files(t, dir) {
		if !strings.HasPrefix(name, ".varve-tmp/") {
			objects++
			continue
		}
		garbage++
		_, err := b.ReadAll(t.Context(), name)
		require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	}
	require.Len(t, list(t, b, blob.ListOptions{}, 0), objects)
	require.NotZero(t, objects, "some writes ended before the kill")
	require.NotZero(t, garbage, "some kills came amid a write")
}

// sealed returns random text that begins with the hash of the rest.
func sealed(size int) string {
	rest := strings.Repeat(fmt.Sprintf("%016x", rand.Uint64()), size/16)
	return fmt.Sprintf("%x%s", sha256.Sum256([]byte(rest)), rest)
}

func requireSealed(t *testing.T, body string) {
	require.Greater(t, len(body), sha256.Size*2)
	require.Equal(t, body[:sha256.Size*2], fmt.Sprintf("%x", sha256.Sum256([]byte(body[sha256.Size*2:]))))
}
