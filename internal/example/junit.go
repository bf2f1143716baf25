package example

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxOutput bounds input and document in a report, in characters.
const maxOutput = 20_000

// The elements of a JUnit report that CI systems read. Characters that XML
// can't hold are replaced by encoding/xml.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`

		duration time.Duration
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes outcomes as a JUnit report: one suite a tool, one case an
// example.
func WriteJUnit(w io.Writer, outcomes []Outcome, summary Summary) error {
	report := junitReport{
		Name: "toolrun", Tests: len(outcomes), Failures: summary.Failed, Time: seconds(summary.Duration),
		Suites: []junitSuite{},
	}
	for _, o := range outcomes {
		if n := len(report.Suites); n == 0 || report.Suites[n-1].Name != o.Tool {
			report.Suites = append(report.Suites, junitSuite{Name: o.Tool})
		}
		report.Suites[len(report.Suites)-1].add(o)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(o Outcome) {
	c := junitCase{Class: o.Tool, Name: o.Example, Time: seconds(o.Duration)}
	var out strings.Builder
	for _, l := range o.Logs {
		fmt.Fprintf(&out, "%s: %s\n", l.Level, l.Message)
	}
	fmt.Fprintf(&out, "→ %s\n← %s\n", printable(string(o.Input), maxOutput), printable(string(o.Document), maxOutput))
	c.Output = out.String()
	if !o.Passed {
		c.Failure = &junitFailure{
			Message: strings.Join(o.Problems[:min(1, len(o.Problems))], ""), Type: "mismatch",
			Text: strings.Join(o.Problems, "\n"),
		}
		s.Failures++
	}
	s.Tests++
	s.duration += o.Duration
	s.Time = seconds(s.duration)
	s.Cases = append(s.Cases, c)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
