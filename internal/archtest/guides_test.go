package archtest_test

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noWord  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestGuideLinks follows each link to a file, and to a heading in it.
func TestGuideLinks(t *testing.T) {
	guides, err := fs.Glob(root, "deploy/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("guides = %q, %v", guides, err)
	}
	for _, guide := range append(guides, "README.md", "cmd/graphsim/README.md", "internal/README.md") {
		for _, found := range link.FindAllStringSubmatch(read(t, guide), -1) {
			file, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := guide
			if file != "" {
				target = path.Join(path.Dir(guide), file)
			}
			if _, err := fs.Stat(root, target); err != nil {
				t.Errorf("%s links to %s, which does not exist", guide, found[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s, but that heading does not exist", guide, found[1])
			}
		}
	}
}

// anchors lists the link targets that GitHub gives the headings of a text.
func anchors(text string) (names []string) {
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		name := noWord.ReplaceAllString(strings.ToLower(found[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
