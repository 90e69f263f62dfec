//! Which of DuckDB's functions a driver's SELECT may call, and why: every function of this version of DuckDB is judged
//! here.
//!
//! The lists were made from `duckdb_functions()`. A test compares them with the linked library: a function that a new
//! version adds is refused until somebody puts it into a group.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Functions that are allowed or refused for one reason.
struct Group {
    #[expect(dead_code, reason = "for whoever reads the list")]
    reason: &'static str,
    /// Names, separated by spaces.
    names: &'static str,
}

/// The verdict on a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Allowed,
    Refused,
    /// The lists contain no function of that name.
    Unknown,
}

/// Where a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Scalar functions, aggregates, window functions and macros.
    Expression,
    /// In FROM.
    Table,
}

/// Whether a function may be called; `name` is in lower case.
pub fn judge(position: Position, name: &str) -> Judgement {
    let (allowed, refused) = match position {
        Position::Expression => (&EXPRESSION_NAMES, &REFUSED_IN_EXPRESSIONS),
        Position::Table => (&TABLE_NAMES, &REFUSED_TABLES),
    };
    if allowed.contains(name) {
        Judgement::Allowed
    } else if names(refused).any(|refused| refused == name) {
        Judgement::Refused
    } else {
        Judgement::Unknown
    }
}

/// The functions that are allowed in that position, as suggestions for a misspelt name.
pub fn allowed(position: Position) -> impl Iterator<Item = &'static str> {
    names(match position {
        Position::Expression => EXPRESSIONS,
        Position::Table => TABLES,
    })
}

fn names(groups: &[Group]) -> impl Iterator<Item = &'static str> + use<> {
    groups.iter().map(|group| group.names).collect::<Vec<_>>().into_iter().flat_map(str::split_whitespace)
}

static EXPRESSION_NAMES: LazyLock<HashSet<String>> =
    LazyLock::new(|| names(EXPRESSIONS).map(str::to_ascii_lowercase).collect());
static TABLE_NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| names(TABLES).map(str::to_ascii_lowercase).collect());

/// The functions of expressions that are different in each call.
const VARYING: &str = "ago current_date current_localtime current_localtimestamp gen_random_uuid get_current_time \
     get_current_timestamp now random setseed today transaction_timestamp uuid uuidv4 uuidv7";

/// Names that DuckDB reads as the time where no column has them.
pub const VARYING_NAMES: [&str; 5] =
    ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];

/// The table functions that show the time, of now or of files.
const VARYING_TABLES: [&str; 3] = ["pg_timezone_names", "read_blob", "read_text"];

/// Whether a function may give something else in the next run; `name` is in lower case.
pub fn varies(position: Position, name: &str) -> bool {
    match position {
        // A sample of what it aggregates.
        Position::Expression => {
            name == "reservoir_quantile" || VARYING.split_whitespace().any(|varying| varying == name)
        }
        Position::Table => VARYING_TABLES.contains(&name),
    }
}

/// Functions that are allowed in expressions.
const EXPRESSIONS: &[Group] = &[
    Group {
        reason: "Operators, as the parser writes them.",
        names: "!__postfix !~~ !~~* % & && * ** + - ->> / // <-> << <=> <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~",
    },
    Group { reason: "Osiris's own, `ffi/exact.rs`: it reads a text and nothing else.", names: "exact_bigint" },
    Group {
        reason: "Aggregates and window functions over rows that the statement reads.",
        names: "any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null \
              arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or \
              bit_xor bitstring_agg bool_and bool_or corr count count_if count_star countif covar_pop covar_samp cume_dist \
              dense_rank entropy favg fill first first_value fsum group_concat histogram histogram_exact kahan_sum \
              kurtosis kurtosis_pop lag last last_value lead list listagg mad max max_by mean median min min_by mode \
              nth_value ntile percent_rank product quantile quantile_cont quantile_disc rank rank_dense regr_avgx \
              regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile \
              row_number sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan var_pop \
              var_samp variance",
    },
    Group {
        reason: "DuckDB's own names for where a statement runs: the same in every step.",
        names: "current_catalog current_database current_role current_schema current_schemas current_user pg_size_pretty \
              pg_typeof session_user user version",
    },
    Group { reason: "Time and chance: different in each call, and no more than a driver has anyway.", names: VARYING },
    Group {
        reason: "Orders texts by a language's rules, which DuckDB holds itself.",
        names: "icu_collate_af icu_collate_am icu_collate_ar icu_collate_ar_sa icu_collate_as icu_collate_az icu_collate_be \
              icu_collate_bg icu_collate_bn icu_collate_bo icu_collate_br icu_collate_bs icu_collate_ca icu_collate_ceb \
              icu_collate_chr icu_collate_cs icu_collate_cy icu_collate_da icu_collate_de icu_collate_de_at \
              icu_collate_dsb icu_collate_dz icu_collate_ee icu_collate_el icu_collate_en icu_collate_en_us icu_collate_eo \
              icu_collate_es icu_collate_et icu_collate_fa icu_collate_fa_af icu_collate_ff icu_collate_fi icu_collate_fil \
              icu_collate_fo icu_collate_fr icu_collate_fr_ca icu_collate_ga icu_collate_gl icu_collate_gu icu_collate_ha \
              icu_collate_haw icu_collate_he icu_collate_he_il icu_collate_hi icu_collate_hr icu_collate_hsb \
              icu_collate_hu icu_collate_hy icu_collate_id icu_collate_id_id icu_collate_ig icu_collate_is icu_collate_it \
              icu_collate_ja icu_collate_ka icu_collate_kk icu_collate_kl icu_collate_km icu_collate_kn icu_collate_ko \
              icu_collate_kok icu_collate_ku icu_collate_ky icu_collate_lb icu_collate_lkt icu_collate_ln icu_collate_lo \
              icu_collate_lt icu_collate_lv icu_collate_mk icu_collate_ml icu_collate_mn icu_collate_mr icu_collate_ms \
              icu_collate_mt icu_collate_my icu_collate_nb icu_collate_nb_no icu_collate_ne icu_collate_nl icu_collate_nn \
              icu_collate_noaccent icu_collate_om icu_collate_or icu_collate_pa icu_collate_pa_in icu_collate_pl \
              icu_collate_ps icu_collate_pt icu_collate_ro icu_collate_ru icu_collate_sa icu_collate_se icu_collate_si \
              icu_collate_sk icu_collate_sl icu_collate_smn icu_collate_sq icu_collate_sr icu_collate_sr_ba \
              icu_collate_sr_me icu_collate_sr_rs icu_collate_sv icu_collate_sw icu_collate_ta icu_collate_te \
              icu_collate_th icu_collate_tk icu_collate_to icu_collate_tr icu_collate_ug icu_collate_uk icu_collate_ur \
              icu_collate_uz icu_collate_vi icu_collate_wae icu_collate_wo icu_collate_xh icu_collate_yi icu_collate_yo \
              icu_collate_yue icu_collate_yue_cn icu_collate_zh icu_collate_zh_cn icu_collate_zh_hk icu_collate_zh_mo \
              icu_collate_zh_sg icu_collate_zh_tw icu_collate_zu",
    },
    Group {
        reason: "JSON values.",
        names: "array_to_json from_json from_json_strict json json_array json_array_length json_contains json_exists \
              json_extract json_extract_path json_extract_path_text json_extract_string json_group_array json_group_object \
              json_group_structure json_keys json_merge_patch json_object json_pretty json_quote json_structure \
              json_transform json_transform_strict json_type json_valid json_value row_to_json to_json",
    },
    Group {
        reason: "Points and shapes.",
        names: "st_asbinary st_astext st_aswkb st_aswkt st_crs st_geomfromwkb st_intersects_extent st_setcrs",
    },
    Group {
        reason: "Lists, arrays, maps, structs, unions, enums and variants.",
        names: "aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains \
              array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct \
              array_dot_product array_extract array_filter array_grade_up array_has array_has_all array_has_any \
              array_indexof array_inner_product array_intersect array_length array_negative_dot_product \
              array_negative_inner_product array_pop_back array_pop_front array_position array_prepend array_push_back \
              array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select array_slice \
              array_sort array_to_string array_to_string_comma_default array_transform array_unique array_value \
              array_where array_zip cardinality element_at enum_code enum_first enum_last enum_range enum_range_boundary \
              equi_width_bins filter flatten generate_series generate_subscripts grade_up is_histogram_other_bin list_aggr \
              list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and \
              list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance \
              list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element list_entropy \
              list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any list_histogram \
              list_indexof list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max \
              list_median list_min list_mode list_negative_dot_product list_negative_inner_product list_pack list_position \
              list_prepend list_product list_reduce list_resize list_reverse list_reverse_sort list_select list_sem \
              list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform \
              list_unique list_value list_var_pop list_var_samp list_where list_zip map map_concat map_contains \
              map_contains_entry map_contains_value map_entries map_extract map_extract_value map_from_entries map_keys \
              map_values range reduce row struct_concat struct_contains struct_extract struct_extract_at struct_has \
              struct_indexof struct_insert struct_keys struct_pack struct_position struct_update struct_values \
              union_extract union_tag union_value unnest unpivot_list variant_extract variant_typeof",
    },
    Group {
        reason: "Dates, times and intervals.",
        names: "add age century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day \
              dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era hour \
              isfinite isodow isoyear julian last_day make_date make_time make_timestamp make_timestamp_ms \
              make_timestamp_ns make_timestamptz microsecond millennium millisecond minute month monthname nanosecond \
              normalized_interval quarter second strftime strptime time_bucket timezone timezone_hour timezone_minute \
              to_centuries to_days to_decades to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months \
              to_quarters to_seconds to_timestamp to_weeks to_years try_strptime uuid_extract_timestamp \
              uuid_extract_version week weekday weekofyear year yearweek",
    },
    Group {
        reason: "Numbers.",
        names: "abs acos acosh asin asinh atan atan2 atanh bin bit_count bit_position bitstring can_cast_implicitly cbrt \
              ceil ceiling cos cosh cot degrees divide even exp factorial fdiv floor fmod gamma gcd geomean geometric_mean \
              get_bit greatest greatest_common_divisor isinf isnan lcm least least_common_multiple lgamma ln log log10 \
              log2 mod multiply nextafter pi pow power radians round round_even roundbankers set_bit sign signbit sin sinh \
              sqrt subtract tan tanh to_base trunc wavg weighted_avg xor",
    },
    Group { reason: "Conditions, types of values and errors.", names: "alias error nullif switch typeof" },
    Group {
        reason: "Texts and bytes.",
        names: "ascii bar base64 bit_length char_length character_length chr concat concat_ws contains damerau_levenshtein \
              decode editdist3 encode ends_with format formatReadableDecimalSize formatReadableSize format_bytes \
              from_base64 from_binary from_hex hamming hash hex ilike_escape instr jaccard jaro_similarity \
              jaro_winkler_similarity lcase left left_grapheme len length length_grapheme levenshtein like_escape lower \
              lpad ltrim md5 md5_number md5_number_lower md5_number_upper mismatches nfc_normalize not_ilike_escape \
              not_like_escape octet_length ord parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path \
              position prefix printf regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches \
              regexp_replace regexp_split_to_array regexp_split_to_table repeat replace reverse right right_grapheme rpad \
              rtrim sha1 sha256 split split_part starts_with str_split str_split_regex string_split string_split_regex \
              string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix to_base64 to_binary \
              to_hex translate trim ucase unbin unhex unicode upper url_decode url_encode",
    },
];

/// Functions that are refused in expressions.
const REFUSED_IN_EXPRESSIONS: &[Group] = &[
    Group { reason: "Shows settings, among them the paths of folders.", names: "current_setting" },
    Group {
        reason: "Shows what the host runs, or how often.",
        names: "current_connection_id current_query current_query_id current_transaction_id txid_current",
    },
    Group { reason: "Reads a variable or a sequence, and no step has one.", names: "currval getvariable nextval" },
    Group {
        reason: "Takes, makes or explains SQL as text.",
        names: "json_deserialize_sql json_serialize_plan json_serialize_sql",
    },
    Group { reason: "Writes to DuckDB's log, or reads it.", names: "parse_duckdb_log_message write_log" },
    Group { reason: "Waits, and is of no use in a SELECT.", names: "pg_sleep sleep_ms" },
    Group {
        reason: "Asks a catalogue, by a name in a text or by a number.",
        names: "col_description format_pg_type format_type get_block_size has_any_column_privilege has_column_privilege \
              has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege \
              has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege \
              has_tablespace_privilege in_search_path inet_client_addr inet_client_port inet_server_addr inet_server_port \
              map_to_pg_oid obj_description pg_collation_is_visible pg_conf_load_time pg_conversion_is_visible \
              pg_function_is_visible pg_get_constraintdef pg_get_expr pg_get_viewdef pg_has_role pg_is_other_temp_schema \
              pg_my_temp_schema pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible \
              pg_postmaster_start_time pg_table_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible \
              pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible shobj_description",
    },
    Group {
        reason: "Belongs to DuckDB's own plans, and trusts whoever calls it.",
        names: "__internal_compress_integral_ubigint __internal_compress_integral_uinteger \
              __internal_compress_integral_usmallint __internal_compress_integral_utinyint \
              __internal_compress_string_hugeint __internal_compress_string_ubigint __internal_compress_string_uhugeint \
              __internal_compress_string_uinteger __internal_compress_string_usmallint __internal_compress_string_utinyint \
              __internal_decompress_integral_bigint __internal_decompress_integral_hugeint \
              __internal_decompress_integral_integer __internal_decompress_integral_smallint \
              __internal_decompress_integral_ubigint __internal_decompress_integral_uhugeint \
              __internal_decompress_integral_uinteger __internal_decompress_integral_usmallint \
              __internal_decompress_string cast_to_type combine constant_or_null create_sort_key finalize get_type \
              icu_sort_key make_type remap_struct replace_type stats timetz_byte_comparable variant_bytes_to_variant \
              variant_normalize variant_to_parquet_variant vector_type",
    },
];

/// Table functions that are allowed.
const TABLES: &[Group] = &[
    Group {
        reason: "Makes rows of its arguments.",
        names: "generate_series json_each json_tree range repeat repeat_row summary test_all_types test_vector_types unnest",
    },
    Group {
        reason: "Reads files, and DuckDB checks each against the step's grants.",
        names: "parquet_bloom_probe parquet_file_metadata parquet_full_metadata parquet_kv_metadata parquet_metadata \
              parquet_scan parquet_schema read_blob read_csv read_csv_auto read_json read_json_auto read_json_objects \
              read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet read_text sniff_csv",
    },
    Group {
        reason: "Lists what DuckDB itself holds, the same in every step.",
        names: "duckdb_keywords icu_calendar_names pg_timezone_names pragma_collations pragma_version",
    },
];

/// Table functions that are refused.
const REFUSED_TABLES: &[Group] = &[
    Group {
        reason: "A macro over `query_table` or over what is refused.",
        names: "duckdb_logs_parsed duckdb_profiling_settings histogram histogram_values",
    },
    Group {
        reason: "Takes a relation, or SQL, as text.",
        names: "check_peg_parser duckdb_table_sample json_execute_serialized_sql pragma_show pragma_storage_info \
              pragma_table_info query query_table seq_scan sql_auto_complete",
    },
    Group { reason: "Opens or lists files beside the grants' check.", names: "glob read_duckdb which_secret" },
    Group { reason: "Takes a pointer.", names: "arrow_scan arrow_scan_dumb" },
    Group {
        reason: "Changes DuckDB's state.",
        names: "checkpoint disable_logging disable_peg_parser disable_profiling enable_logging enable_peg_parser \
              enable_profiling force_checkpoint truncate_duckdb_logs",
    },
    Group {
        reason: "Lists what is attached, set or running, of all steps' tables and of the machine.",
        names: "duckdb_approx_database_count duckdb_columns duckdb_connection_count duckdb_constraints \
              duckdb_coordinate_systems duckdb_databases duckdb_dependencies duckdb_extensions duckdb_external_file_cache \
              duckdb_functions duckdb_indexes duckdb_log_contexts duckdb_logs duckdb_memory duckdb_optimizers \
              duckdb_prepared_statements duckdb_schemas duckdb_secret_types duckdb_secrets duckdb_sequences \
              duckdb_settings duckdb_tables duckdb_temporary_files duckdb_types duckdb_variables duckdb_views \
              pragma_database_size pragma_metadata_info pragma_platform pragma_user_agent",
    },
];
