//! Finds where in a pipeline's file the errors are that planning reports.

use crate::error::{Place, Report, Reports, STEP_ID};
use crate::pipeline::Pipeline;
use crate::pipeline::places::{Places, Spot};

/// The file of a pipeline and the places in it.
#[derive(Default)]
pub struct Located {
    file: String,
    places: Places,
    steps: Vec<String>,
}

impl Located {
    /// `pipeline` is what the text says, if it could be read.
    pub fn new(file: String, text: &str, pipeline: Option<&Pipeline>) -> Self {
        let steps = pipeline.into_iter().flat_map(|pipeline| &pipeline.steps).map(|step| step.id.to_string());
        Self { file, places: Places::of(text), steps: steps.collect() }
    }

    /// The same errors, each with its line and column.
    pub fn reports(&self, reports: Reports) -> Reports {
        reports.map(|report| self.report(report))
    }

    /// An error with its lines and columns.
    pub fn error(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Reports>() {
            Ok(reports) => self.reports(reports).into(),
            Err(error) => match error.downcast::<Report>() {
                Ok(report) => self.report(report).into(),
                Err(error) => error,
            },
        }
    }

    fn report(&self, report: Report) -> Report {
        let spot = match &report.place {
            Some(Place::Key(path, offset)) => {
                let path = self.numbered(path);
                offset.map_or_else(|| self.places.find(&path), |offset| self.places.inside(&path, offset))
            }
            Some(Place::Line(line)) => self.places.on_line(*line),
            Some(Place::Spot { .. }) | None => return report,
        };
        let place = spot.map(|Spot { line, column }| Place::Spot { file: self.file.clone(), line, column });
        Report { place, ..report }
    }

    /// A path in which a step is called by its number.
    fn numbered(&self, path: &[String]) -> Vec<String> {
        let mut path = path.to_vec();
        let number = |id: &str| self.steps.iter().position(|step| step == id);
        if let Some(part) = path.get_mut(1)
            && let Some(number) = part.strip_prefix(STEP_ID).and_then(number)
        {
            *part = number.to_string();
        }
        path
    }
}
