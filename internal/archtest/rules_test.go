package archtest_test

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rules are the conventions for the code, by name. Each returns the violations, a
// sentence each.
var rules = map[string]func(repository) []string{
	"imports follow the table":        forbiddenImports,
	"imports only go down the table":  upwardImports,
	"libraries stay in their package": misplacedLibraries,
	"package names are specific":      vaguePackageNames,
	"names use the field's terms":     privateWords,
	"no file exceeds 400 lines":       longFiles,
	"only main.go exits the process":  exits,
	"no init functions":               inits,
	"no test is skipped":              skips,
}

func forbiddenImports(r repository) (violations []string) {
	for _, pkg := range r.packages() {
		if position(pkg) < 0 {
			violations = append(violations, pkg+" has no row in the table of packages")
		}
	}
	for _, f := range r.files {
		i := position(f.pkg)
		for _, name := range f.imports() {
			other, own := strings.CutPrefix(name, module)
			if own && !f.test && (i < 0 || !slices.Contains(packages[i].imports, other)) {
				violations = append(violations, f.path+" imports "+other)
			}
		}
	}
	return violations
}

func upwardImports(repository) (violations []string) {
	for i, row := range packages {
		for _, other := range row.imports {
			if position(other) <= i {
				violations = append(violations, row.name+" may import "+other+", which is not below it")
			}
		}
	}
	return violations
}

func misplacedLibraries(r repository) (violations []string) {
	for _, f := range r.files {
		for _, name := range f.imports() {
			if name == heavy {
				violations = append(violations, f.path+" imports all of "+name)
			}
			for _, l := range libraries {
				if strings.HasPrefix(name, l.prefix) && !f.test && !slices.Contains(l.packages, f.pkg) {
					violations = append(violations, f.path+" imports "+name)
				}
			}
		}
	}
	return violations
}

func vaguePackageNames(r repository) (violations []string) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types"}
	for _, f := range r.files {
		for _, name := range []string{path.Base(f.pkg), strings.TrimSuffix(f.ast.Name.Name, "_test")} {
			if slices.Contains(vague, name) || strings.HasSuffix(name, "util") || strings.HasSuffix(name, "utils") {
				violations = append(violations, f.path+" is in a package called "+name)
			}
		}
	}
	return slices.Compact(violations)
}

// privateWordsFor maps everyday words to the technical terms to use instead.
var privateWordsFor = map[string]string{
	"anew": "again", "brief": "a verb or number", "debts": "backlog", "door": "listener", "glimpse": "summary", "guest": "caller",
	"hall": "registry", "happening": "event", "hears": "a callback On…", "landed": "finished", "look": "check, read, reload",
	"mates": "replicas", "mend": "fix, remedy", "owe": "request, undelivered", "patient": "a name of what is checked",
	"place": "position, cursor", "room": "memory, package", "scene": "step", "spoke": "notified", "stage": "a name of what is set up",
	"story": "steps, scenario", "stranger": "unauthenticated, unauthorized", "told": "delivered, reported", "vault": "storage",
}

// privateWords checks the names of packages, files, types, functions, fields, parameters,
// constants and declared variables outside tests.
func privateWords(r repository) (violations []string) {
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
			for _, word := range wordOf.FindAllString(lookUp.ReplaceAllString(name, ""), -1) {
				if use, ok := privateWordsFor[strings.ToLower(word)]; ok {
					violations = append(violations, fmt.Sprintf("%s: %s contains %s: use %s", f.path, name, word, use))
				}
			}
		}
	}
	return violations
}

// lookUp is the verb and the noun of the directory, as far as it is in a name.
var lookUp = regexp.MustCompile(`[lL]ookUps?`)

var wordOf = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)

const maxLines = 400

func longFiles(r repository) (violations []string) {
	for _, f := range r.files {
		if f.lines > maxLines {
			violations = append(violations, fmt.Sprintf("%s has %d lines", f.path, f.lines))
		}
	}
	return violations
}

func exits(r repository) (violations []string) {
	for _, f := range r.files {
		main := path.Base(f.path) == "main.go" && path.Dir(f.pkg) == "cmd"
		if !main && !f.test && (f.calls("os", "Exit") || f.calls("log", "Fatal", "Fatalf", "Fatalln")) {
			violations = append(violations, f.path+" exits the process")
		}
	}
	return violations
}

func inits(r repository) (violations []string) {
	for _, f := range r.files {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				violations = append(violations, f.path+" has an init function")
			}
		}
	}
	return violations
}

func skips(r repository) (violations []string) {
	for _, f := range r.files {
		if f.selects([]string{"t", "b", "f", "tb"}, []string{"Skip", "Skipf", "SkipNow"}) {
			violations = append(violations, f.path+" skips")
		}
	}
	return violations
}
