package archtest_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"outlook-monitor/internal/must"
)

// repository is the parsed tree that the rules check.
type repository struct {
	files []source
}

// source is one Go file.
type source struct {
	path  string
	pkg   string // its directory
	test  bool
	lines int
	ast   *ast.File
}

// built lists the directories that scripts/check, scripts/run and scripts/package
// create; git ignores them.
var built = []string{"bin", "dist"}

// root is the tree of the repository.
var root = os.DirFS("../..")

// open reads and parses all Go files of a tree.
func open(t *testing.T, tree fs.FS) repository {
	t.Helper()
	var r repository
	set := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains(built, name)):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		r.files = append(r.files, source{
			path: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count(text, []byte("\n")), ast: parsed,
		})
		return nil
	})
	must.NoError(t, err)
	return r
}

// packages lists the directories that hold Go files.
func (r repository) packages() []string {
	var all []string
	for _, f := range r.files {
		all = append(all, f.pkg)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// imports lists the import paths of a file.
func (f source) imports() []string {
	var all []string
	for _, spec := range f.ast.Imports {
		all = append(all, strings.Trim(spec.Path.Value, `"`))
	}
	return all
}

// calls reports whether the file uses one of the functions of a standard library
// package, whatever name it imports the package under.
func (f source) calls(pkg string, functions ...string) bool {
	local := ""
	for _, spec := range f.ast.Imports {
		if spec.Path.Value != strconv.Quote(pkg) {
			continue
		}
		if local = path.Base(pkg); spec.Name != nil {
			local = spec.Name.Name
		}
	}
	return local != "" && f.selects([]string{local}, functions)
}

// selects reports whether the file contains x.name for one of the xs and names.
func (f source) selects(xs, names []string) bool {
	found := false
	ast.Inspect(f.ast, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := selector.X.(*ast.Ident)
		found = found || ok && slices.Contains(xs, x.Name) && slices.Contains(names, selector.Sel.Name)
		return true
	})
	return found
}
