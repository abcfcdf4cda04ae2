package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"outlook-monitor/internal/ooo"
)

type usersImportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Read this file instead of standard input."`
}

// Run imports all lines. A rejected line does not affect the others.
func (c *usersImportCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	text, err := []byte(nil), error(nil)
	if c.File == "" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(c.File)
	}
	if err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	report, err := api.importLines(ctx, text)
	return cmp.Or(report.print(out, api.json), err, report.err())
}

// importReport is the result of an import.
type importReport struct {
	Accepted int            `json:"accepted"`
	Rejected []rejectedLine `json:"refused"`
}

type rejectedLine struct {
	Line  int    `json:"line"`
	Email string `json:"email,omitempty"`
	Error string `json:"error"`
}

func (r *importReport) reject(line int, email, reason string) {
	r.Rejected = append(r.Rejected, rejectedLine{line, email, reason})
}

func (r *importReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	for _, l := range r.Rejected {
		where := fmt.Sprintf("line %d", l.Line)
		if l.Email != "" {
			where += fmt.Sprintf(" (%.80s)", printable(l.Email))
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", where, printable(l.Error)); err != nil {
			return err
		}
	}
	next := "."
	if r.Accepted > 0 {
		next = "; they will be looked up in the directory."
	}
	_, err := fmt.Fprintf(out, "%s accepted%s\n", plural(r.Accepted, "user"), next)
	return err
}

func (r *importReport) err() error {
	if len(r.Rejected) == 0 {
		return nil
	}
	return fmt.Errorf("%d lines were not accepted: fix and import them again", len(r.Rejected))
}

const (
	chunkSize = 1000     // users in one request
	maxLine   = 64 << 10 // bytes
)

// importLine is one user to import.
type importLine struct {
	number int
	email  string
}

// importLines imports all valid lines. The error says why it stopped early.
func (a *usersAPI) importLines(ctx context.Context, text []byte) (*importReport, error) {
	report, valid, number := &importReport{Rejected: []rejectedLine{}}, []importLine(nil), 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		line = bytes.TrimSpace(line)
		switch email, err := addressIn(line); {
		case len(line) > maxLine:
			report.reject(number, "", "too long for a user")
		case len(line) == 0:
		case err != nil:
			report.reject(number, email, err.Error())
		default:
			valid = append(valid, importLine{number, email})
		}
	}
	for chunk := range slices.Chunk(valid, chunkSize) {
		if err := a.importChunk(ctx, chunk, report); err != nil {
			return report, fmt.Errorf("nothing was imported from line %d on: %w; fix that and import all again", chunk[0].number, err)
		}
	}
	return report, nil
}

// addressIn returns the address in a line.
func addressIn(text []byte) (string, error) {
	var u struct {
		Email *string `json:"email"`
	}
	if !json.Valid(text) {
		return "", errors.New("not JSON")
	}
	if json.Unmarshal(text, &u) != nil || u.Email == nil {
		return "", errors.New(`not a JSON object with "email"`)
	}
	email, err := ooo.ParseAddress(*u.Email)
	return cmp.Or(email, *u.Email), err
}

// importChunk imports one chunk and adds the results to the report.
func (a *usersAPI) importChunk(ctx context.Context, chunk []importLine, report *importReport) error {
	var request struct {
		Emails []string `json:"emails"`
	}
	for _, l := range chunk {
		request.Emails = append(request.Emails, l.email)
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	_, body, err := a.call(ctx, http.MethodPost, "", "", nil, text)
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct{ Result, Error string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Results) != len(chunk) {
		return errNotService(a.base)
	}
	for i, result := range answer.Results {
		if result.Result == "accepted" {
			report.Accepted++
		} else {
			report.reject(chunk[i].number, chunk[i].email, cmp.Or(result.Error, "not accepted"))
		}
	}
	return nil
}
