package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
)

// object is an object of a JSON document.
type object = map[string]any

// document is openapi.json with the responses that its operations refer to in their place.
type document struct {
	tree       object
	operations map[string]operation // by method and path
	compiler   *jsonschema.Compiler
}

// operation is a method of a path.
type operation struct {
	object
	method, path, pointer string
	responses             object // by status
}

const documentURL = "https://monitor.example/api/openapi.json"

func readDocument(t *testing.T) document {
	t.Helper()
	var tree object
	must.NoError(t, json.Unmarshal([]byte(filetest.Read(t, "openapi.json")), &tree))
	d := document{tree, map[string]operation{}, jsonschema.NewCompiler()}
	shared := tree["components"].(object)["responses"].(object)
	for path, methods := range tree["paths"].(object) {
		for name, value := range methods.(object) {
			tree, ok := value.(object)
			if !ok {
				continue // parameters of all methods
			}
			responses := tree["responses"].(object)
			for status, response := range responses {
				if name, ok := response.(object)["$ref"].(string); ok {
					responses[status] = shared[strings.TrimPrefix(name, "#/components/responses/")]
				}
			}
			method := strings.ToUpper(name)
			d.operations[method+" "+path] = operation{tree, method, path, "/paths/" + escaped(path) + "/" + name, responses}
		}
	}
	d.compiler.AssertFormat()
	must.NoError(t, d.compiler.AddResource(documentURL, tree))
	return d
}

// escaped returns a name as a part of a JSON pointer.
func escaped(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// validate checks a value against the schema at a pointer.
func (d document) validate(pointer string, value any) error {
	schema, err := d.compiler.Compile(documentURL + "#" + (&url.URL{Path: pointer}).EscapedPath())
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// validateJSON is validate for a value in JSON.
func (d document) validateJSON(pointer, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return d.validate(pointer, value)
}

// checkRequest checks the query parameters and the body of a request.
func (d document) checkRequest(o operation, query url.Values, body string) error {
	parameters, _ := o.object["parameters"].([]any)
	for name, values := range query {
		i := slices.IndexFunc(parameters, func(p any) bool { return p.(object)["name"] == name })
		if i < 0 {
			return fmt.Errorf("parameter %s is not described", name)
		}
		var value any = values[0]
		if parameters[i].(object)["schema"].(object)["type"] == "integer" {
			value = json.Number(values[0])
		}
		if err := d.validate(o.pointer+"/parameters/"+strconv.Itoa(i)+"/schema", value); err != nil {
			return err
		}
	}
	if body != "" {
		return d.validateJSON(o.pointer+"/requestBody/content/application~1json/schema", body)
	}
	if described, ok := o.object["requestBody"].(object); ok && described["required"] == true {
		return errors.New("a body is required")
	}
	return nil
}

// checkAnswer checks the status, the headers, the content type and the body. A "default"
// response does not describe a status.
func (d document) checkAnswer(o operation, answer *http.Response) error {
	response, ok := o.responses[strconv.Itoa(answer.StatusCode)].(object)
	if !ok {
		return errors.New("the status is not described")
	}
	headers, _ := response["headers"].(object)
	for name := range headers {
		if answer.Header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	content, ok := response["content"].(object)
	switch {
	case !ok && len(body) > 0:
		return errors.New("the body is not described")
	case !ok || o.method == http.MethodHead:
		return nil
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind == "" && len(content) > 0 {
		kind = "text/plain" // as net/http would detect
	}
	schema := o.pointer + "/responses/" + strconv.Itoa(answer.StatusCode) + "/content/" + escaped(kind) + "/schema"
	if kind == "application/json" {
		return d.validateJSON(schema, string(body))
	}
	return d.validate(schema, string(body))
}

// eachExample calls check with each example of a request or a response below a pointer, and
// with the pointer to its schema.
func eachExample(at string, value any, check func(schema string, value any)) {
	o, _ := value.(object)
	if example, ok := o["example"]; ok && strings.Contains(at, "/content/") {
		check(at+"/schema", example)
	}
	examples, _ := o["examples"].(object)
	for _, e := range examples {
		check(at+"/schema", e.(object)["value"])
	}
	for name, child := range o {
		if name != "example" && name != "examples" {
			eachExample(at+"/"+escaped(name), child, check)
		}
	}
}
