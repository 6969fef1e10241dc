//! Traces as a Parquet table: one flat row a line of the JSON export. A column is named by its field's path in the line,
//! joined by `_`; what is nested deeper, and lists, are JSON in a column of text.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde::Serialize;

use crate::trace::line::TraceLine;

/// Rows, and bytes of their texts, that are held until they are written together.
const GROUP_ROWS: usize = 20_000;
const GROUP_BYTES: usize = 64 << 20;

/// A column and what a line has for it; `None` is null.
struct Column {
    name: &'static str,
    read: Read,
}

/// Plain numbers and texts; [`Read::Json`] is text that holds JSON.
enum Read {
    Integer(fn(&TraceLine) -> Option<i64>),
    Number(fn(&TraceLine) -> Option<f64>),
    Text(fn(&TraceLine) -> Option<String>),
    Json(fn(&TraceLine) -> Option<String>),
}

const COLUMNS: [Column; 32] = {
    use Read::{Integer, Json, Number, Text};
    const fn column(name: &'static str, read: Read) -> Column {
        Column { name, read }
    }
    [
        column("version", Integer(|line| Some(line.version.into()))),
        column("trace", Text(|line| Some(line.trace.to_string()))),
        column("at_ms", Integer(|line| integer(line.at_ms))),
        column("route", Text(|line| Some(line.route.clone()))),
        column("metadata", Json(|line| json(line.metadata.as_ref()?))),
        column("request", Json(|line| line.request.as_ref().map(|request| request.get().to_owned()))),
        column("decision_policy", Text(|line| Some(line.decision.policy.clone()))),
        column("decision_kind", Text(|line| word(&line.decision.kind))),
        column("decision_segment", Text(|line| line.decision.segment.clone())),
        column("decision_knob", Json(|line| json(&line.decision.knob))),
        column("decision_phi", Json(|line| json(&line.decision.phi))),
        column("decision_widening", Number(|line| Some(line.decision.widening))),
        column("decision_verbosity", Number(|line| Some(line.decision.verbosity))),
        column("decision_input_tokens", Integer(|line| Some(line.decision.input_tokens.into()))),
        column("decision_difficulty", Number(|line| Some(line.decision.difficulty.into()))),
        column("decision_candidates", Json(|line| json(&line.decision.candidates))),
        column("decision_preferred", Integer(|line| integer(line.decision.preferred as u64))),
        column("decision_chosen", Integer(|line| integer(line.decision.chosen as u64))),
        column("decision_asked", Number(|line| line.decision.asked)),
        column("decision_draw", Number(|line| Some(line.decision.draw))),
        column("decision_consult", Json(|line| json(line.decision.consult.as_ref()?))),
        column("decision_snapshot_version", Integer(|line| integer(line.decision.snapshot_version))),
        column("decision_bundle", Text(|line| Some(line.decision.bundle.clone()))),
        column("settlement_arm", Text(|line| line.settlement.as_ref()?.arm.as_ref().map(ToString::to_string))),
        column("settlement_usage", Json(|line| json(line.settlement.as_ref()?.usage.as_ref()?))),
        column("settlement_cost_usd", Number(|line| line.settlement.as_ref()?.cost_usd)),
        column("settlement_outcome", Text(|line| word(&line.settlement.as_ref()?.outcome))),
        column("scores", Json(|line| json(&line.scores))),
        column("reward_value", Number(|line| Some(line.reward?.value))),
        column("reward_weight", Number(|line| Some(line.reward?.weight))),
        // What most who open the table look for, without a look into its JSON.
        column("chosen_arm", Text(|line| Some(line.chosen().arm.to_string()))),
        column("chosen_propensity", Number(|line| Some(line.chosen().propensity))),
    ]
};

/// Rows on their way into a file.
pub struct Rows<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    /// One per column.
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

/// A column's values that are not null, and for each row whether it has one (1) or not (0).
struct Cells {
    values: Values,
    present: Vec<i16>,
}

enum Values {
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl<W: Write + Send> Rows<W> {
    /// A table without rows.
    pub fn new(file: W) -> Result<Self, ParquetError> {
        let fields = COLUMNS.iter().map(Column::field).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("trace").with_fields(fields).build()?;
        let program = concat!("satisfice ", env!("CARGO_PKG_VERSION"));
        let properties = WriterProperties::builder().set_compression(Compression::LZ4_RAW);
        let properties = properties.set_created_by(program.into()).build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, cells: COLUMNS.iter().map(Column::cells).collect(), rows: 0, bytes: 0 })
    }

    /// Adds a row.
    pub fn add(&mut self, line: &TraceLine) -> anyhow::Result<()> {
        for (column, cells) in COLUMNS.iter().zip(&mut self.cells) {
            self.bytes += cells.add(column, line);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the table, and gives its file back.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        self.flush()?;
        self.writer.into_inner()
    }

    /// Writes the rows that are held as one group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows > 0 {
            let mut group = self.writer.next_row_group()?;
            self.cells.iter_mut().try_for_each(|cells| cells.flush(&mut group))?;
            group.close()?;
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Column {
    fn field(&self) -> Result<Arc<Type>, ParquetError> {
        let (physical, logical) = match self.read {
            Read::Integer(_) => (Physical::INT64, None),
            Read::Number(_) => (Physical::DOUBLE, None),
            Read::Text(_) | Read::Json(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(self.name, physical).with_logical_type(logical);
        field.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
    }

    fn cells(&self) -> Cells {
        let values = match self.read {
            Read::Integer(_) => Values::Integers(Vec::new()),
            Read::Number(_) => Values::Numbers(Vec::new()),
            Read::Text(_) | Read::Json(_) => Values::Texts(Vec::new()),
        };
        Cells { values, present: Vec::new() }
    }
}

impl Cells {
    /// Takes what `line` has for `column`, and says how many bytes of text it was.
    fn add(&mut self, column: &Column, line: &TraceLine) -> usize {
        let (before, mut bytes) = (self.values.len(), 0);
        match (&mut self.values, &column.read) {
            (Values::Integers(values), Read::Integer(read)) => values.extend(read(line)),
            (Values::Numbers(values), Read::Number(read)) => values.extend(read(line)),
            (Values::Texts(values), Read::Text(read) | Read::Json(read)) => {
                let text = read(line).map(String::into_bytes);
                bytes = text.as_ref().map_or(0, Vec::len);
                values.extend(text.map(ByteArray::from));
            }
            _ => {}
        }
        self.present.push(i16::from(self.values.len() > before));
        bytes
    }

    fn flush<W: Write + Send>(&mut self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        let present = std::mem::take(&mut self.present);
        match &mut self.values {
            Values::Integers(values) => write::<Int64Type, W>(group, &std::mem::take(values), &present),
            Values::Numbers(values) => write::<DoubleType, W>(group, &std::mem::take(values), &present),
            Values::Texts(values) => write::<ByteArrayType, W>(group, &std::mem::take(values), &present),
        }
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

/// Writes the group's next column.
fn write<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    present: &[i16],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<T>().write_batch(values, Some(present), None)?;
    column.close()
}

fn integer(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// A name, as JSON has it between quotes.
fn word(value: &impl Serialize) -> Option<String> {
    json(value).map(|word| word.trim_matches('"').to_owned())
}
