package varve_test

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestREADMEQuickStart keeps the code in the README equal to code that compiles and
// that Example runs.
func TestREADMEQuickStart(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found, "README.md shows no code")
	shown, _, _ := strings.Cut(rest, "```")
	require.Equal(t, sourceOf(t, "example_test.go", "backUpAndRestore"), shown)
}

// sourceOf is the text of a function.
func sourceOf(t *testing.T, file, name string) string {
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, d := range parsed.Decls {
		text := string(source[fset.Position(d.Pos()).Offset:fset.Position(d.End()).Offset])
		if strings.HasPrefix(text, "func "+name+"(") {
			return text + "\n"
		}
	}
	require.Failf(t, "no such function", "%s in %s", name, file)
	return ""
}

var markdownLink = regexp.MustCompile(`\]\(([^)]+)\)`)

// TestLinks follows the links of the documents into the repository.
func TestLinks(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("*.md")
	require.NoError(t, err)
	require.NotEmpty(t, documents)
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for _, document := range slices.Concat(documents, pages) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, m := range markdownLink.FindAllStringSubmatch(string(text), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			if target == "" {
				require.Contains(t, anchors(string(text)), anchor, "%s links to #%s", document, anchor)
				continue
			}
			target = filepath.Join(filepath.Dir(document), target)
			require.FileExists(t, target, "%s links to it", document)
			if anchor != "" {
				there, err := os.ReadFile(target)
				require.NoError(t, err)
				require.Contains(t, anchors(string(there)), anchor, "%s links to %s", document, m[1])
			}
		}
	}
}

// anchors are the names under which a document's headings can be linked.
func anchors(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading != line && strings.HasPrefix(heading, " ") {
			heading = strings.ToLower(strings.TrimSpace(heading))
			out = append(out, strings.ReplaceAll(strings.ReplaceAll(heading, ".", ""), " ", "-"))
		}
	}
	return out
}
