package archtest_test

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rule is something agreed about the code. Its function returns the places that
// break it, each a sentence.
type rule struct {
	says   string
	broken func(repository) []string
}

var rules = []rule{
	{"each package imports only what the table allows", importsOfOurs},
	{"imports go down the table only", importsUpwards},
	{"the table has no package that is gone", gonePackages},
	{"a library is known in its own packages alone", importsOfOthers},
	{"a package's name says what it is", hollowNames},
	{"names use the words of the field", privateWords},
	{"every package has a comment", missingComments},
	{"no file is over 400 lines", longFiles},
	{"only main.go ends the process", exits},
	{"nothing runs before main", inits},
	{"no test is skipped", skips},
	{"the top holds what was agreed", topEntries},
}

func importsOfOurs(r repository) (broken []string) {
	for _, pkg := range r.packages() {
		if position(pkg) < 0 {
			broken = append(broken, pkg+" has no row in the table of packages")
		}
	}
	for _, f := range r.files {
		for _, name := range f.imports() {
			other, ours := strings.CutPrefix(name, module)
			if ours && !f.test && !mayImport(f.pkg, other) {
				broken = append(broken, f.path+" imports "+other)
			}
		}
	}
	return broken
}

func importsUpwards(repository) (broken []string) {
	for i, row := range packages {
		for _, other := range row.imports {
			if position(other) <= i {
				broken = append(broken, row.name+" may import "+other+", which is not below it")
			}
		}
	}
	return broken
}

func gonePackages(r repository) (broken []string) {
	for _, row := range packages {
		if !slices.Contains(r.packages(), row.name) {
			broken = append(broken, row.name+" has a row in the table of packages, but no code")
		}
	}
	return broken
}

func importsOfOthers(r repository) (broken []string) {
	for _, f := range r.files {
		for _, name := range f.imports() {
			if name == heavy {
				broken = append(broken, f.path+" imports all of "+name)
			}
			for _, l := range libraries {
				if strings.HasPrefix(name, l.prefix) && !f.test && !slices.Contains(l.packages, f.pkg) {
					broken = append(broken, f.path+" imports "+name)
				}
			}
		}
	}
	return broken
}

func hollowNames(r repository) (broken []string) {
	hollow := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types"}
	for _, f := range r.files {
		for _, name := range []string{path.Base(f.pkg), strings.TrimSuffix(f.ast.Name.Name, "_test")} {
			if slices.Contains(hollow, name) || strings.HasSuffix(name, "util") || strings.HasSuffix(name, "utils") {
				broken = append(broken, f.path+" is in a package called "+name)
			}
		}
	}
	return slices.Compact(broken)
}

// privateWordsFor are everyday words that stood in for technical ones, and what to use.
var privateWordsFor = map[string]string{
	"anew": "again", "brief": "a verb or number", "debts": "backlog", "door": "listener", "glimpse": "summary", "guest": "caller",
	"hall": "registry", "happening": "event", "hears": "a callback On…", "landed": "finished", "look": "check, read, reload",
	"mates": "replicas", "mend": "fix, remedy", "owe": "request, undelivered", "patient": "a name of what is checked",
	"place": "position, cursor", "room": "memory, package", "scene": "step", "spoke": "notified", "stage": "a name of what is set up",
	"story": "steps, scenario", "stranger": "unauthenticated, unauthorized", "told": "delivered, reported", "vault": "storage",
}

// privateWords checks the names of packages, files, types, functions, fields, parameters, constants and
// declared variables, tests apart.
func privateWords(r repository) (broken []string) {
	for _, f := range r.files {
		if f.test {
			continue
		}
		names := []string{f.ast.Name.Name, strings.TrimSuffix(path.Base(f.path), ".go")}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names = append(names, n.Name.Name)
			case *ast.TypeSpec:
				names = append(names, n.Name.Name)
			case *ast.ValueSpec:
				for _, name := range n.Names {
					names = append(names, name.Name)
				}
			case *ast.Field:
				for _, name := range n.Names {
					names = append(names, name.Name)
				}
			}
			return true
		})
		for _, name := range names {
			if strings.EqualFold(name, "lookUp") {
				continue
			}
			for _, word := range wordOf.FindAllString(name, -1) {
				if use, ok := privateWordsFor[strings.ToLower(word)]; ok {
					broken = append(broken, fmt.Sprintf("%s: %s says %s: use %s", f.path, name, word, use))
				}
			}
		}
	}
	return broken
}

var wordOf = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)

func missingComments(r repository) (broken []string) {
	commented := map[string]bool{}
	for _, f := range r.files {
		first := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			first = "Command " + path.Base(f.pkg) + " "
		}
		commented[f.pkg] = commented[f.pkg] || strings.HasPrefix(f.ast.Doc.Text(), first)
	}
	for _, pkg := range r.packages() {
		if !commented[pkg] {
			broken = append(broken, pkg+" has no package comment")
		}
	}
	return broken
}

const longest = 400

func longFiles(r repository) (broken []string) {
	for _, f := range r.files {
		if f.lines > longest {
			broken = append(broken, fmt.Sprintf("%s has %d lines", f.path, f.lines))
		}
	}
	return broken
}

func exits(r repository) (broken []string) {
	for _, f := range r.files {
		main := path.Base(f.path) == "main.go" && path.Dir(f.pkg) == "cmd"
		if !main && !f.test && (f.calls("os", "Exit") || f.calls("log", "Fatal", "Fatalf", "Fatalln")) {
			broken = append(broken, f.path+" ends the process")
		}
	}
	return broken
}

func inits(r repository) (broken []string) {
	for _, f := range r.files {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				broken = append(broken, f.path+" has an init function")
			}
		}
	}
	return broken
}

func skips(r repository) (broken []string) {
	for _, f := range r.files {
		if f.selects([]string{"t", "b", "f", "tb"}, []string{"Skip", "Skipf", "SkipNow"}) {
			broken = append(broken, f.path+" skips")
		}
	}
	return broken
}

func topEntries(r repository) (broken []string) {
	for _, name := range r.top {
		if !strings.HasPrefix(name, ".") && !slices.Contains(built, name) && !slices.Contains(layout, name) {
			broken = append(broken, name+" does not belong there")
		}
	}
	for _, name := range layout {
		if !slices.Contains(r.top, name) {
			broken = append(broken, name+" is missing")
		}
	}
	return broken
}
