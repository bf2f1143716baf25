package sandbox

import (
	"fmt"

	"github.com/almyty-inc/toolrun/errclass"
)

// Limits bounds one execution. A zero field takes the pool's default, and that
// one the value named here; a negative field is refused. Time is bounded by the
// context of [Pool.Run].
type Limits struct {
	// MemoryMB is how much memory an execution may take, in MiB. Its process looks
	// every millisecond and ends over the cap; 64 MiB further out the kernel refuses
	// more. [Inline] can't enforce it. Defaults to 128.
	MemoryMB int
	// OutputBytes is the size of the result's JSON text. Defaults to 10 MiB.
	OutputBytes int
	// LogBytes is the size of all log messages together, each counting one more
	// for its end. What is beyond is dropped. Defaults to 64 KiB.
	LogBytes int
	// SourceBytes is the size of the source. Defaults to 1 MiB.
	SourceBytes int
	// ParameterBytes is the size of the parameters, of the credentials, of the
	// parameters and the result of each tools.invoke, and of the bodies of each
	// fetch's request and response. Defaults to 10 MiB.
	ParameterBytes int
	// CallDepth is how many calls may be nested. Defaults to 8000.
	CallDepth int
	// ErrorBytes is how much text of a thrown value gets into the error.
	// Defaults to 1900, which is about what an error's detail holds.
	ErrorBytes int
	// Invokes is how often tools.invoke may be called. Defaults to 1000.
	Invokes int
	// Fetches is how often fetch may be called. Defaults to 100.
	Fetches int
}

const (
	defaultMemoryMB       = 128
	defaultOutputBytes    = 10 << 20
	defaultLogBytes       = 64 << 10
	defaultSourceBytes    = 1 << 20
	defaultParameterBytes = 10 << 20
	defaultCallDepth      = 8000
	defaultErrorBytes     = 1900
	defaultInvokes        = 1000
	defaultFetches        = 100
)

var builtinLimits = Limits{
	MemoryMB:    defaultMemoryMB,
	OutputBytes: defaultOutputBytes, LogBytes: defaultLogBytes, SourceBytes: defaultSourceBytes,
	ParameterBytes: defaultParameterBytes, CallDepth: defaultCallDepth, ErrorBytes: defaultErrorBytes,
	Invokes: defaultInvokes, Fetches: defaultFetches,
}

// limitField ties the name of a field to where it is.
type limitField struct {
	name  string
	value *int
}

func (l *Limits) fields() [9]limitField {
	return [...]limitField{
		{"MemoryMB", &l.MemoryMB}, {"OutputBytes", &l.OutputBytes}, {"LogBytes", &l.LogBytes},
		{"SourceBytes", &l.SourceBytes}, {"ParameterBytes", &l.ParameterBytes},
		{"CallDepth", &l.CallDepth}, {"ErrorBytes", &l.ErrorBytes}, {"Invokes", &l.Invokes},
		{"Fetches", &l.Fetches},
	}
}

// check names the first field that is out of bounds.
func (l Limits) check() error {
	for _, field := range l.fields() {
		if *field.value < 0 {
			return fmt.Errorf("sandbox: Limits.%s is %d; it must not be negative", field.name, *field.value)
		}
	}
	return nil
}

// or fills the zero fields of l from other.
func (l Limits) or(other Limits) Limits {
	theirs := other.fields()
	for i, field := range l.fields() {
		if *field.value == 0 {
			*field.value = *theirs[i].value
		}
	}
	return l
}

func tooMuch(reason errclass.Reason, limit int, where string) *errclass.Error {
	return errclass.Newf(errclass.SandboxError, reason, "more than %s in %s", size(limit), where)
}

// size renders a limit in bytes for a message.
func size(bytes int) string {
	switch {
	case bytes >= 1<<20 && bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<10 && bytes%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// checkJob applies the limits that need no run.
func (l Limits) checkJob(job *Job) *errclass.Error {
	if err := l.checkSource(job.Source); err != nil {
		return err
	}
	if len(job.Parameters) > l.ParameterBytes {
		return tooMuch(errclass.ParameterLimit, l.ParameterBytes, "the parameters")
	}
	if len(job.Credentials) > l.ParameterBytes {
		return tooMuch(errclass.ParameterLimit, l.ParameterBytes, "the credentials")
	}
	return nil
}

func (l Limits) checkSource(src Source) *errclass.Error {
	if len(src.Code) > l.SourceBytes {
		return tooMuch(errclass.SourceLimit, l.SourceBytes, "the source")
	}
	return nil
}
