package archtest_test

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// rule is something agreed about the code. Its function returns the places that
// break it, each a sentence.
type rule struct {
	says   string
	broken func(house) []string
}

var rules = []rule{
	{"each room imports only what the table allows", importsOfOurs},
	{"the table has no room that is gone", goneRooms},
	{"a library is known in its own rooms alone", importsOfOthers},
	{"a package's name says what it is", hollowNames},
	{"every package tells its story", missingStories},
	{"no file is over 400 lines", longFiles},
	{"only main.go ends the process", exits},
	{"nothing runs before main", inits},
	{"no test is skipped", skips},
	{"the top holds what was agreed", topEntries},
}

func importsOfOurs(h house) (broken []string) {
	for _, room := range h.rooms() {
		if _, ok := rooms[room]; !ok {
			broken = append(broken, room+" has no row in the table of rooms")
		}
	}
	for _, f := range h.files {
		for _, name := range f.imports() {
			other, ours := strings.CutPrefix(name, module)
			if ours && !f.test && !mayImport(f.room, other) {
				broken = append(broken, f.path+" imports "+other)
			}
		}
	}
	return broken
}

func goneRooms(h house) (broken []string) {
	for room := range rooms {
		if !slices.Contains(h.rooms(), room) {
			broken = append(broken, room+" has a row in the table of rooms, but no code")
		}
	}
	slices.Sort(broken)
	return broken
}

func importsOfOthers(h house) (broken []string) {
	for _, f := range h.files {
		for _, name := range f.imports() {
			if name == heavy {
				broken = append(broken, f.path+" imports all of "+name)
			}
			for _, l := range libraries {
				if strings.HasPrefix(name, l.prefix) && !f.test && !slices.Contains(l.rooms, f.room) {
					broken = append(broken, f.path+" imports "+name)
				}
			}
		}
	}
	return broken
}

func hollowNames(h house) (broken []string) {
	hollow := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "type", "types"}
	for _, f := range h.files {
		for _, name := range []string{path.Base(f.room), strings.TrimSuffix(f.ast.Name.Name, "_test")} {
			if slices.Contains(hollow, name) || strings.HasSuffix(name, "util") || strings.HasSuffix(name, "utils") {
				broken = append(broken, f.path+" is in a package called "+name)
			}
		}
	}
	return slices.Compact(broken)
}

func missingStories(h house) (broken []string) {
	told := map[string]bool{}
	for _, f := range h.files {
		first := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			first = "Command " + path.Base(f.room) + " "
		}
		told[f.room] = told[f.room] || strings.HasPrefix(f.ast.Doc.Text(), first)
	}
	for _, room := range h.rooms() {
		if !told[room] {
			broken = append(broken, room+" has no package comment")
		}
	}
	return broken
}

const longest = 400

func longFiles(h house) (broken []string) {
	for _, f := range h.files {
		if f.lines > longest {
			broken = append(broken, fmt.Sprintf("%s has %d lines", f.path, f.lines))
		}
	}
	return broken
}

func exits(h house) (broken []string) {
	for _, f := range h.files {
		main := path.Base(f.path) == "main.go" && path.Dir(f.room) == "cmd"
		if !main && !f.test && (f.calls("os", "Exit") || f.calls("log", "Fatal", "Fatalf", "Fatalln")) {
			broken = append(broken, f.path+" ends the process")
		}
	}
	return broken
}

func inits(h house) (broken []string) {
	for _, f := range h.files {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				broken = append(broken, f.path+" has an init function")
			}
		}
	}
	return broken
}

func skips(h house) (broken []string) {
	for _, f := range h.files {
		if f.selects([]string{"t", "b", "f", "tb"}, []string{"Skip", "Skipf", "SkipNow"}) {
			broken = append(broken, f.path+" skips")
		}
	}
	return broken
}

func topEntries(h house) (broken []string) {
	for _, name := range h.top {
		if !strings.HasPrefix(name, ".") && name != built && !slices.Contains(layout, name) {
			broken = append(broken, name+" does not belong there")
		}
	}
	for _, name := range layout {
		if !slices.Contains(h.top, name) {
			broken = append(broken, name+" is missing")
		}
	}
	return broken
}
