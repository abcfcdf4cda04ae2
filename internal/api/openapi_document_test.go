package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is openapi.json as a tree, with a compiler for its schemas.
type document struct {
	tree     map[string]any
	compiler *jsonschema.Compiler
}

const documentURL = "https://monitor.example/api/openapi.json"

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := document{tree.(map[string]any), jsonschema.NewCompiler()}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, tree); err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns the value at a JSON pointer, following references, and its own pointer.
func (d document) at(pointer string) (value any, where string, ok bool) {
	value = d.tree
	parts := strings.Split(pointer, "/")[1:]
	for i, part := range parts {
		object, _ := value.(map[string]any)
		if value, ok = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]; !ok {
			return nil, "", false
		}
		where += "/" + part
		target, _ := value.(map[string]any)
		if reference, ok := target["$ref"].(string); ok {
			return d.at(strings.Join(append([]string{strings.TrimPrefix(reference, "#")}, parts[i+1:]...), "/"))
		}
	}
	return value, where, true
}

func escaped(part string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(part) }

// validate checks a value against the schema at a pointer.
func (d document) validate(pointer string, value any) error {
	_, where, ok := d.at(pointer)
	if !ok {
		return fmt.Errorf("no schema at %s", pointer)
	}
	schema, err := d.compiler.Compile(documentURL + "#" + (&url.URL{Path: where}).EscapedPath())
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// operation is a method of a path.
type operation struct {
	method, path string
	tree         map[string]any
}

func (o operation) at() string { return "/paths/" + escaped(o.path) + "/" + o.method }

func (d document) operations() iter.Seq[operation] {
	return func(yield func(operation) bool) {
		for path, item := range d.tree["paths"].(map[string]any) {
			for method, tree := range item.(map[string]any) {
				o, ok := tree.(map[string]any)
				if ok && !yield(operation{method, path, o}) {
					return
				}
			}
		}
	}
}

// operation returns the operation for a method and a path. A path without a variable has
// precedence.
func (d document) operation(method, path string) (found operation, ok bool) {
	parts := strings.Split(path, "/")
	for o := range d.operations() {
		if o.method != strings.ToLower(method) {
			continue
		}
		if o.path == path {
			return o, true
		}
		if slices.EqualFunc(strings.Split(o.path, "/"), parts, func(a, b string) bool { return a == b || a == "{email}" }) {
			found, ok = o, true
		}
	}
	return found, ok
}

// response returns the pointer to the response with a status. "default" does not count.
func (d document) response(o operation, status int) (pointer string, ok bool) {
	pointer = o.at() + "/responses/" + strconv.Itoa(status)
	_, _, ok = d.at(pointer)
	return pointer, ok
}

// checkRequest checks the query parameters and the body of a request.
func (d document) checkRequest(o operation, r *http.Request, body string) error {
	parameters, _ := o.tree["parameters"].([]any)
	for name, values := range r.URL.Query() {
		i := slices.IndexFunc(parameters, func(p any) bool { return p.(map[string]any)["name"] == name })
		if i < 0 {
			return fmt.Errorf("parameter %s is not described", name)
		}
		schema := parameters[i].(map[string]any)["schema"].(map[string]any)
		var value any = values[0]
		if schema["type"] == "integer" {
			value = json.Number(values[0])
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(documentURL, schema); err != nil {
			return err
		}
		if err := compiler.MustCompile(documentURL).Validate(value); err != nil {
			return err
		}
	}
	wanted, _, ok := d.at(o.at() + "/requestBody")
	switch {
	case body == "" && ok && wanted.(map[string]any)["required"] == true:
		return fmt.Errorf("a body is required")
	case body == "":
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return d.validate(o.at()+"/requestBody/content/application~1json/schema", value)
}

// checkAnswer checks the status, the headers, the content type and the body.
func (d document) checkAnswer(o operation, response *http.Response) error {
	at, ok := d.response(o, response.StatusCode)
	if !ok {
		return fmt.Errorf("the status is not described")
	}
	if headers, _, ok := d.at(at + "/headers"); ok {
		for name := range headers.(map[string]any) {
			if response.Header.Get(name) == "" {
				return fmt.Errorf("the header %s is missing", name)
			}
		}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	content, _, ok := d.at(at + "/content")
	switch {
	case !ok && len(body) > 0:
		return fmt.Errorf("the body is not described")
	case !ok || o.method == "head":
		return nil
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind == "" && len(content.(map[string]any)) > 0 {
		kind = "text/plain" // as net/http would detect
	}
	var value any = string(body)
	if kind == "application/json" {
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(body)); err != nil {
			return err
		}
	}
	return d.validate(at+"/content/"+escaped(kind)+"/schema", value)
}

// eachExample calls check with each example of a request or a response below a pointer, and
// with the pointer to its content.
func (d document) eachExample(at string, value any, check func(at string, value any)) {
	object, _ := value.(map[string]any)
	if _, ok := object["schema"]; ok {
		if value, ok := object["example"]; ok && strings.Contains(at, "/content/") {
			check(at, value)
		}
		examples, _ := object["examples"].(map[string]any)
		for _, e := range examples {
			check(at, e.(map[string]any)["value"])
		}
	}
	for name, child := range object {
		if name != "example" && name != "examples" {
			d.eachExample(at+"/"+escaped(name), child, check)
		}
	}
}
