package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"outlook-monitor/internal/ooo"
)

type usersImportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Read this file instead of standard input."`
}

// Run imports all lines. A rejected line does not affect the others.
func (c *usersImportCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	in := io.Reader(os.Stdin)
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("read the users: %w", err)
		}
		defer file.Close()
		in = file
	}
	report, err := api.importFrom(ctx, in)
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

// importFrom imports the lines of in. The error says why it stopped early; the report has the
// lines before that.
func (a *usersAPI) importFrom(ctx context.Context, in io.Reader) (*importReport, error) {
	report, reader := &importReport{Rejected: []rejectedLine{}}, bufio.NewReaderSize(in, maxLine)
	var chunk []importLine
	for number := 1; ; number++ {
		text, complete, err := readLine(reader)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return report, fmt.Errorf("read line %d: %w", number, err)
		}
		email, invalid := addressIn(text)
		switch {
		case !complete:
			report.reject(number, "", "too long for a user")
		case len(text) == 0:
		case invalid != nil:
			report.reject(number, email, invalid.Error())
		default:
			chunk = append(chunk, importLine{number, email})
		}
		if len(chunk) == chunkSize || last && len(chunk) > 0 {
			if err := a.importChunk(ctx, chunk, report); err != nil {
				return report, fmt.Errorf("nothing was imported from line %d on: %w; fix that and import all again", chunk[0].number, err)
			}
			chunk = chunk[:0]
		}
		if last {
			return report, nil
		}
	}
}

// readLine returns the next line without surrounding white space, and whether it is complete,
// because it is short enough. It returns io.EOF with the last line.
func readLine(r *bufio.Reader) (text []byte, complete bool, err error) {
	text, err = r.ReadSlice('\n')
	for complete = true; errors.Is(err, bufio.ErrBufferFull); complete = false {
		_, err = r.ReadSlice('\n')
	}
	return bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff"))), complete, err
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
