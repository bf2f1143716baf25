package google

import (
	"strings"

	"google.golang.org/genai"

	"github.com/almyty-inc/toolrun/llmtool"
)

// answer gathers what comes of an answer, in one piece or in many.
type answer struct {
	text       strings.Builder
	finish     genai.FinishReason
	blocked    bool // the prompt was
	calledTool bool
	something  bool // there was what makes an answer of this API
	model      string
	usage      *genai.GenerateContentResponseUsageMetadata
}

// add takes in a piece and returns its text. Thoughts are none.
func (a *answer) add(out *genai.GenerateContentResponse) (text string) {
	if out.ModelVersion != "" {
		a.model = out.ModelVersion
	}
	if out.UsageMetadata != nil {
		a.usage, a.something = out.UsageMetadata, true // of all until here
	}
	if out.PromptFeedback != nil {
		a.something = true
		a.blocked = a.blocked || out.PromptFeedback.BlockReason != ""
	}
	if len(out.Candidates) == 0 {
		return ""
	}
	a.something = true
	first := out.Candidates[0]
	if first.FinishReason != "" && first.FinishReason != genai.FinishReasonUnspecified {
		a.finish = first.FinishReason
	}
	if first.Content == nil {
		return ""
	}
	for _, part := range first.Content.Parts {
		switch {
		case part == nil: // null
		case part.FunctionCall != nil:
			a.calledTool = true
		case !part.Thought:
			text += part.Text
		}
	}
	a.text.WriteString(text)
	return text
}

func (a *answer) reply() *llmtool.Reply {
	r := &llmtool.Reply{
		Text: a.text.String(), Finish: string(a.finish), CalledTool: a.calledTool, Model: a.model, Nothing: !a.something,
	}
	if u := a.usage; u != nil {
		r.Usage = llmtool.Tokens{
			Prompt:     int(u.PromptTokenCount + u.ToolUsePromptTokenCount),
			Completion: int(u.CandidatesTokenCount + u.ThoughtsTokenCount),
			Total:      int(u.TotalTokenCount),
		}
	}
	switch a.finish {
	case genai.FinishReasonMaxTokens:
		r.Finish = llmtool.FinishLength
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonBlocklist, genai.FinishReasonProhibitedContent,
		genai.FinishReasonSPII, genai.FinishReasonImageSafety, genai.FinishReasonImageProhibitedContent, genai.FinishReasonImageRecitation:
		r.Finish = llmtool.FinishFilter
	case genai.FinishReasonMalformedFunctionCall, genai.FinishReasonUnexpectedToolCall, genai.FinishReasonTooManyToolCalls:
		r.Text, r.CalledTool = "", true
	case "", genai.FinishReasonStop:
	default: // OTHER, LANGUAGE and what is yet to come: what there is of an answer is no whole one
		r.Text = ""
	}
	if a.blocked {
		r.Finish = llmtool.FinishFilter
	}
	return r
}
