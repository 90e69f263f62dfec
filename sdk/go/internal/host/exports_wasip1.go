package host

import "unsafe"

// The result of an export, which the host reads after the export has returned.
var (
	returnArea [10]uint32
)

// ReturnError is the result of an export that returns nothing else; err may be nil.
func ReturnError(err *Error) unsafe.Pointer {
	returnArea = [10]uint32{}
	if err != nil {
		returnArea[0] = 1
		returnArea[1] = uint32(err.Kind)
		if err.Code != "" {
			returnArea[2] = 1
			returnArea[3], returnArea[4] = lowerText(err.Code)
		}
		returnArea[5], returnArea[6] = lowerText(err.Message)
		if err.RetryAfter != nil {
			returnArea[7], returnArea[8] = 1, milliseconds(*err.RetryAfter)
		}
	}
	return unsafe.Pointer(&returnArea)
}

// ReturnText is the result of an export that returns a text.
func ReturnText(text string) unsafe.Pointer {
	returnArea = [10]uint32{}
	returnArea[1], returnArea[2] = lowerText(text)
	return unsafe.Pointer(&returnArea)
}

// ReturnTables is the result of `discover`.
func ReturnTables(tables []CatalogTable) unsafe.Pointer {
	var words []uint32
	for _, t := range tables {
		columns := make([]uint32, 0, 7*len(t.Columns))
		for _, c := range t.Columns {
			name, nameLength := lowerText(c.Name)
			source, sourceLength := lowerText(c.SourceType)
			duckdb, duckdbLength := lowerText(c.DuckdbType)
			columns = append(columns, name, nameLength, source, sourceLength, duckdb, duckdbLength, flag(c.Nullable))
		}
		schema, schemaLength := lowerText(t.Schema)
		name, nameLength := lowerText(t.Name)
		key, keyCount := lowerTexts(t.PrimaryKey)
		var known, low, high uint32
		if t.EstimatedRows != nil {
			known, low, high = 1, uint32(*t.EstimatedRows), uint32(*t.EstimatedRows>>32)
		}
		// Aligned to 8 bytes because of the u64 at the end.
		words = append(words, flag(t.Schema != ""), schema, schemaLength, name, nameLength, lowerWords(columns),
			uint32(len(t.Columns)), key, keyCount, 0, known, 0, low, high)
	}
	aligned := make([]uint64, len(words)/2)
	for i := range aligned {
		aligned[i] = uint64(words[2*i]) | uint64(words[2*i+1])<<32
	}
	returnArea = [10]uint32{}
	if len(tables) > 0 {
		returnArea[1] = keep(unsafe.Pointer(unsafe.SliceData(aligned)))
		returnArea[2] = uint32(len(tables))
	}
	return unsafe.Pointer(&returnArea)
}
