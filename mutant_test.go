package varve_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var runMutants = flag.Bool("mutants", false, "break the code in many ways, and see that the tests notice")

// mutant is a way to break the code: each text, which must be in its file once, is
// replaced.
type mutant struct {
	name  string
	edits []edit
	test  []string // package and test that must fail, where the model's does not get there
	vital bool     // tried with -short, too
}

type edit struct{ file, from, to string }

// TestMutants breaks the code in one way after the other, in copies of single files
// that the compiler takes for the real ones, and wants the model to notice: a rule
// that nothing depends on is none. With -short it tries the vital ones.
func TestMutants(t *testing.T) {
	if !*runMutants {
		t.Skip("takes minutes; -mutants")
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		out, err := mutant{}.run(t)
		require.NoError(t, err, "the code as it is\n%s", out)
	})
	for _, m := range allMutants() {
		if testing.Short() && !m.vital {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out, err := m.run(t)
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "nothing noticed it")
			require.Regexp(t, "--- FAIL: |panic: test timed out", out)
			t.Log(firstComplaint(out))
		})
	}
}

func allMutants() []mutant {
	return slices.Concat(differenceMutants(), tableMutants(), layerMutants(), historyMutants(), versionedMutants(), catalogMutants(), retentionMutants(), sealedMutants(), compactMutants(), jobMutants())
}

// TestMutantsApply: each of them finds the code that it breaks.
func TestMutantsApply(t *testing.T) {
	t.Parallel()
	for _, m := range allMutants() {
		t.Run(m.name, func(t *testing.T) { m.overlay(t) })
	}
}

// run builds the tests with the mutant, which must work, and runs them.
func (m mutant) run(t *testing.T) (string, error) {
	t.Helper()
	test := m.test
	if test == nil {
		test = []string{".", "^TestModel$", "-model.seed=1", "-model.time=25s"}
	}
	binary := filepath.Join(t.TempDir(), "mutant.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", m.overlay(t), "-o", binary, test[0])
	out, err := build.CombinedOutput()
	require.NoError(t, err, "it does not compile\n%s", out)
	run := exec.CommandContext(t.Context(), binary, append([]string{"-test.timeout=2m", "-test.run=" + test[1]}, test[2:]...)...)
	run.Dir = test[0]
	out, err = run.CombinedOutput()
	return string(out), err
}

// overlay writes the mutant's files and the list of them that the compiler reads.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for _, e := range m.edits {
		original, err := filepath.Abs(e.file)
		require.NoError(t, err)
		now := original
		if replace[original] != "" {
			now = replace[original]
		}
		text, err := os.ReadFile(now)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), e.from), "%s has %q", e.file, e.from)
		replace[original] = filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		mutated := strings.Replace(string(text), e.from, e.to, 1)
		require.NoError(t, os.WriteFile(replace[original], []byte(mutated), 0o644))
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, errors.Join(err, os.WriteFile(path, list, 0o644)))
	return path
}

// firstComplaint is what a failed test says first.
func firstComplaint(out string) string {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if strings.Contains(line, "Error:") || strings.Contains(line, ": no moment") || strings.HasPrefix(line, "panic: ") {
			return strings.Join(strings.Fields(strings.Join(lines[i:min(i+2, len(lines))], " ")), " ")
		}
	}
	return "in other words"
}
