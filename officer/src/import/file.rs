//! A CSV file with a registration a line. Columns are known by their headings, whatever their order
//! and however other products spell them.

use super::{Dialect, terms::Cells};

/// Most lines of a file.
const ROWS_MAX: usize = 100_000;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) rows: Vec<Row>,
    /// Headings of columns that are not taken over.
    pub(crate) ignored: Vec<String>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its number in the file.
    pub(crate) line: u64,
    pub(crate) key_id: String,
    pub(crate) owner: String,
    pub(crate) comment: String,
    /// What is allowed, in the words of the file.
    pub(crate) names: Vec<String>,
    /// What is excluded; only our own files have it.
    pub(crate) exclude: Vec<String>,
    pub(crate) profiles: Vec<String>,
    /// How its key binds, and how long its certificates are valid; only our own files say it.
    pub(crate) terms: Cells,
    /// What became of it; only our own files say it.
    pub(crate) status: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    KeyId,
    Owner,
    Comment,
    Names,
    Exclude,
    Profiles,
    MaxValidity,
    Usage,
    MaxBindings,
    ValidFrom,
    Until,
    Algorithms,
    Status,
}

/// The column that a heading names, spelled in any way. What others mean by a status or a use is their own.
fn column(heading: &str, dialect: Dialect) -> Option<Column> {
    let plain: String = heading.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match plain.as_str() {
        "eabkid" | "kid" | "keyid" | "username" => Some(Column::KeyId),
        "owner" | "contact" | "email" => Some(Column::Owner),
        "comment" => Some(Column::Comment),
        "allow"
        | "names"
        | "domains"
        | "domainnames"
        | "alloweddomains"
        | "alloweddomainnames"
        | "alloweddomainlist"
        | "dnsnames"
        | "subjectaltname"
        | "subjectalternativename"
        | "san" => Some(Column::Names),
        "exclude" => Some(Column::Exclude),
        "profile" | "profiles" | "profileid" | "certificateprofile" | "certificateprofilename" | "tokenprocedure" => {
            Some(Column::Profiles)
        }
        _ if dialect != Dialect::Own => None,
        "maxvalidity" => Some(Column::MaxValidity),
        "use" => Some(Column::Usage),
        "maxbindings" => Some(Column::MaxBindings),
        "validfrom" => Some(Column::ValidFrom),
        "until" => Some(Column::Until),
        "algorithms" => Some(Column::Algorithms),
        "status" => Some(Column::Status),
        _ => None,
    }
}

/// Takes the text of a file.
///
/// # Errors
/// The line and what is wrong with it.
pub(crate) fn read(text: &str, dialect: Dialect) -> Result<Contents, String> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let headings = reader.headers().map_err(|error| error.to_string())?.clone();
    let columns: Vec<Option<Column>> = headings.iter().map(|heading| column(heading, dialect)).collect();
    for (needed, name) in [(Column::KeyId, "eab_kid"), (Column::Names, "allowed_domainlist")] {
        match columns.iter().filter(|column| **column == Some(needed)).count() {
            1 => {}
            0 => return Err(format!("line 1: there is no column {name}; the first line must name the columns")),
            _ => return Err(format!("line 1: two columns are taken for {name}; leave one of them out")),
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        if rows.len() >= ROWS_MAX {
            return Err(format!("more than {ROWS_MAX} lines; split the file"));
        }
        let cell = |wanted: Column| {
            let found = columns.iter().zip(record.iter()).find(|(column, _)| **column == Some(wanted));
            found.map(|(_, text)| text).unwrap_or_default()
        };
        rows.push(Row {
            line: record.position().map_or(0, csv::Position::line),
            key_id: cell(Column::KeyId).to_owned(),
            owner: cell(Column::Owner).to_owned(),
            comment: cell(Column::Comment).to_owned(),
            names: dialect.split(cell(Column::Names)),
            exclude: Dialect::Own.split(cell(Column::Exclude)),
            profiles: Dialect::Ejbca.split(cell(Column::Profiles)),
            terms: Cells {
                max_validity: cell(Column::MaxValidity).to_owned(),
                usage: cell(Column::Usage).to_owned(),
                max_bindings: cell(Column::MaxBindings).to_owned(),
                valid_from: cell(Column::ValidFrom).to_owned(),
                until: cell(Column::Until).to_owned(),
                algorithms: Dialect::Ejbca.split(cell(Column::Algorithms)),
            },
            status: cell(Column::Status).to_owned(),
        });
    }
    let ignored = headings.iter().zip(&columns).filter(|(_, column)| column.is_none());
    Ok(Contents { rows, ignored: ignored.map(|(heading, _)| heading.to_owned()).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_headings() {
        let text = "\u{feff}eab_kid, eab_mac, Allowed-DomainList, contact\nkid-1, bWFj,\"a.test, *.b.test\", print room\nkid-2,,c.test,\n";
        let contents = read(text, Dialect::Acme2certifier).unwrap();
        assert_eq!(contents.ignored, ["eab_mac"]);
        assert_eq!(contents.rows.len(), 2);
        let first = contents.rows.first().unwrap();
        assert_eq!((first.line, first.key_id.as_str(), first.owner.as_str()), (2, "kid-1", "print room"));
        assert_eq!(first.names, ["a.test", "*.b.test"]);
        assert_eq!(contents.rows.get(1).map(|row| row.line), Some(3));
    }

    #[test]
    fn what_is_missing_is_told_with_its_line() {
        for (text, part) in [
            ("kid,mac\n1,2\n", "no column allowed_domainlist"),
            ("names\na.test\n", "no column eab_kid"),
            ("kid,names,domains\n1,2,3\n", "two columns"),
            ("kid,names\nk,a.test,more\n", "line: 2"),
            ("", "line 1"),
        ] {
            let reason = read(text, Dialect::Nexus).unwrap_err();
            assert!(reason.contains(part), "{text:?}: {reason}");
        }
    }
}
